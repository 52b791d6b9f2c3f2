"""aft.torch: aft-pytorch's interface, and all that PyTorch's users do with a module."""

import copy
import io
import pickle
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import aft.torch  # noqa: E402
from torch_layers import FORMS, B, H, P, S, T, gradients, layer_of, x_of  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=FORMS)
def layer(request):
    return layer_of(request.param)


PAIRS = [("AFTFull", {}), ("AFTSimple", {}), ("AFTLocal", {"s": 3})]


@pytest.mark.parametrize("name, more", PAIRS)
@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_drop_in_for_aft_pytorch(name, more):
    theirs = pytest.importorskip("aft_pytorch")
    torch.manual_seed(5)
    original = getattr(theirs, name)(S, H, P, **more)
    torch.manual_seed(5)
    mine = getattr(aft.torch, name)(S, H, P, **more)
    assert list(original.state_dict()) == list(mine.state_dict())
    assert all(torch.equal(original.state_dict()[key], mine.state_dict()[key]) for key in mine.state_dict())
    other = getattr(aft.torch, name)(S, H, P, **more)
    other.load_state_dict(original.state_dict())
    original.load_state_dict(other.state_dict())
    x = x_of()
    torch.testing.assert_close(other(x), original(x))
    assert (mine.dim, mine.hidden_dim) == (original.dim, original.hidden_dim)


def test_the_readme_of_aft_pytorch():
    import aft.torch as aft_pytorch

    x = torch.rand(32, 10, 512)
    for name in ("AFTFull", "AFTSimple", "AFTLocal"):
        layer = getattr(aft_pytorch, name)(max_seqlen=20, dim=512, hidden_dim=64)
        assert layer(x).shape == (32, 10, 512)


def test_local_is_trained():
    layer = aft.torch.AFTLocal(S, H, P, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1)
    before = layer.wbias.detach().clone()
    layer(x_of()).square().sum().backward()
    optimizer.step()
    near = (torch.arange(S)[:, None] - torch.arange(S)).abs() < 3
    near[T:] = near[:, T:] = False
    changed = layer.wbias != before
    assert changed[near].all() and not changed[~near].any()



def operands(layer):
    """The arguments of aft::layer."""
    query = getattr(layer, "to_q", None)
    return (x_of().requires_grad_(), None, None, query and query.weight, query and query.bias, layer.to_k.weight,
            layer.to_k.bias, layer.to_v.weight, layer.to_v.bias, layer.project.weight, layer.project.bias,
            getattr(layer, "wbias", None), None)



@pytest.mark.parametrize("form, layer", [(0, "full"), (1, "simple"), (2, "local"), (4, "causal simple")])
def test_opcheck_of_layers(form, layer):
    mask = torch.rand(B, T, T) < 0.9
    for sight in [(None, None), (torch.tensor([T, 3, 5]), None), (None, mask), (None, mask[:, :1])]:
        arguments = (*operands(FORMS[layer]()), *sight, form, 0, 3, False, True)
        torch.library.opcheck(torch.ops.aft.layer.default, arguments, rtol=1e-4, atol=1e-5)


def test_opcheck_of_means():
    tensors = [torch.randn(B, T, P, requires_grad=True) for _ in range(3)]
    for bias, form in [(None, 1), (torch.randn(B, T, T, requires_grad=True), 8), (torch.randn(1, T, T), 9)]:
        torch.library.opcheck(torch.ops.aft.mean.default, (*tensors, None, bias, None, None, form, 0, 0, T, False, True),
                              rtol=1e-4, atol=1e-5)


def test_opcheck_of_gradients():
    *arguments, save = (*operands(FORMS["full"]()), None, None, 0, 0, 0, False, True)
    y, saved = torch.ops.aft.layer(*arguments, save)
    arguments = [each.detach() if isinstance(each, torch.Tensor) else each for each in arguments]
    wanted = [each is not None for each in arguments[:13]]
    torch.library.opcheck(torch.ops.aft.layer_backward.default,
                          (torch.randn_like(y), saved.detach(), *arguments, wanted))


def test_gradcheck_of_other_dtypes():
    layer = aft.torch.AFTLocal(6, 3, 2, s=2).double()
    assert torch.autograd.gradcheck(layer, (torch.randn(2, 5, 3, dtype=torch.double, requires_grad=True),))
    assert torch.autograd.gradgradcheck(layer, (torch.randn(1, 4, 3, dtype=torch.double, requires_grad=True),))


def test_double_backward(layer):
    def second(module, x):
        x = x.clone().requires_grad_()
        first, = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [x, *module.parameters()], allow_unused=True)

    x = x_of()
    for mine, exact in zip(second(layer, x), second(copy.deepcopy(layer).double(), x.double())):
        assert (mine is None) == (exact is None)
        if mine is not None:
            assert float((mine - exact).abs().max()) <= 1e-4 * max(1.0, float(exact.abs().max()))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(layer, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for seq in (T, 5, 7) if dynamic else (T,):
        x = x_of(B, seq, H)
        dy = torch.randn(B, seq, H)
        y, found = gradients(layer, [x], dy)
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        compiled_y = compiled(leaf)
        compiled_y.backward(dy)
        torch.testing.assert_close(compiled_y, y)
        torch.testing.assert_close(leaf.grad, found["input 0"])
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x))


def test_compile_with_a_sight():
    layer = aft.torch.AFTFull(None, H, P)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, bias, mask, lengths = x_of(), torch.randn(T, T), torch.rand(T) < 0.9, torch.tensor([T, 4, 1])
    torch.testing.assert_close(compiled(x, position_bias=bias, mask=mask, lengths=lengths),
                               layer(x, position_bias=bias, mask=mask, lengths=lengths))


def test_inductor():
    torch._dynamo.reset()
    layer = FORMS["full"]()
    x = x_of()
    torch.testing.assert_close(torch.compile(lambda x: layer(x.sin() * 2).cos(), fullgraph=True)(x),
                               layer(x.sin() * 2).cos())


def test_export(layer):
    sizes = {"x": {0: torch.export.Dim("b"), 1: torch.export.Dim("t", max=S)}}
    program = torch.export.export(layer.eval(), (x_of(),), dynamic_shapes=sizes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    x = x_of(2, 7, H)
    torch.testing.assert_close(torch.export.load(file).module()(x), layer(x))


def test_autocast(layer):
    x = x_of()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16())
    assert y.dtype == torch.bfloat16
    expected = layer(x.bfloat16().float())
    multiplies = any(k.usable and k.storage == "bfloat16" and "avx512_zen" in k.target for k in aft.kernels())
    assert torch.equal(y, expected.bfloat16()) != multiplies
    torch.testing.assert_close(y.float(), expected, rtol=2**-6, atol=2**-6 * expected.abs().max().item())
    y.float().sum().backward()
    assert layer.to_v.weight.grad.dtype == torch.float32


def test_autocast_compiled(layer):
    torch._dynamo.reset()
    x = x_of()
    compiled = torch.compile(layer, fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compiled(x), layer(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.double])
def test_other_dtypes(layer, dtype):
    x = x_of()
    y = copy.deepcopy(layer).to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer(x), rtol=0.1, atol=0.05)


def test_meta():
    with torch.device("meta"):
        layer = aft.torch.AFTFull(S, H, P)
        assert layer(torch.empty(B, T, H)).shape == (B, T, H)
    assert aft.torch.AFTFull(S, H, P, device="meta").wbias.is_meta


def test_other_devices_are_told_once():
    from aft.torch import _modules

    class Elsewhere:
        device, dtype = torch.device("cuda"), torch.float32

    _modules._told.clear()
    with pytest.warns(UserWarning, match="aft.torch has kernels for the CPU only: on cuda"):
        assert not _modules._have_kernels([Elsewhere()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not _modules._have_kernels([Elsewhere()])
    _modules._told.clear()


def test_copies(layer):
    x = x_of()
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(layer)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(layer, reentrant):
    from torch.utils.checkpoint import checkpoint

    x = x_of()
    _, found = gradients(layer, [x], torch.ones(B, T, H))
    leaf = x.clone().requires_grad_()
    checkpoint(layer, leaf, use_reentrant=reentrant).backward(torch.ones(B, T, H))
    assert torch.equal(leaf.grad, found["input 0"])


def test_transforms(layer):
    x = x_of()
    parameters = {name: parameter.detach() for name, parameter in layer.named_parameters()}

    def loss(parameters, x):
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    torch.testing.assert_close(torch.vmap(layer)(torch.stack([x, 2 * x])), torch.stack([layer(x), layer(2 * x)]),
                               rtol=1e-4, atol=1e-5)
    by_grad = torch.func.grad(loss)(parameters, x)
    layer.zero_grad()
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(by_grad[name], parameter.grad, rtol=1e-3, atol=1e-4)
    of_samples = torch.vmap(torch.func.grad(loss), (None, 0))(parameters, x[:, None])
    for name in parameters:
        torch.testing.assert_close(of_samples[name].sum(0), by_grad[name], rtol=1e-3, atol=1e-4)
    y, tangent = torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    step = 1e-6
    exact = copy.deepcopy(layer).double()
    differences = (exact(x.double() + step) - exact(x.double() - step)) / (2 * step)
    torch.testing.assert_close(tangent, differences.float(), rtol=1e-3, atol=1e-4)


def test_inference_mode(layer):
    x = x_of()
    with torch.inference_mode():
        y = layer(x)
    assert torch.equal(y, layer(x))


def test_a_change_of_the_weights_is_seen(layer):
    x = x_of()
    with torch.no_grad():
        before = layer(x)
        layer.to_v.weight.data.mul_(2)  # no version of a tensor tells of it
        layer.to_v.bias.data.mul_(2)
        torch.testing.assert_close(layer(x) - layer.project.bias, 2 * (before - layer.project.bias))


def test_prepared(layer):
    x = x_of()
    out = torch.empty(B, T, H)
    assert layer.prepared()(x, out=out) is out
    torch.testing.assert_close(out, layer(x).detach(), rtol=1e-5, atol=1e-6)
    assert np.array_equal(layer.prepared()(x), out.numpy())
    bare = aft.torch.AFTFull(None, H, P).prepared()
    assert bare(x, position_bias=torch.zeros(T, T)).shape == (B, T, H)


def test_repr():
    assert "max_seqlen=12, dim=8, hidden_dim=6, s=3, causal=True" in repr(FORMS["causal local"]()).replace("s=4", "s=3")
