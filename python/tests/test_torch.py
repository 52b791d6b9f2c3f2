"""aft.torch: numbers, aft-pytorch's interface, and all that PyTorch's users do with a module."""

import copy
import io
import pathlib
import pickle
import re
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import aft  # noqa: E402
import aft.torch  # noqa: E402

B, T, H, P, S = 3, 10, 8, 6, 12


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


FORMS = {
    "full": lambda **more: aft.torch.AFTFull(S, H, P, **more),
    "simple": lambda **more: aft.torch.AFTSimple(S, H, P, **more),
    "local": lambda **more: aft.torch.AFTLocal(S, H, P, 3, **more),
    "local, a wide window": lambda **more: aft.torch.AFTLocal(S, H, P, **more),
    "causal full": lambda **more: aft.torch.AFTFull(S, H, P, causal=True, **more),
    "causal simple": lambda **more: aft.torch.AFTSimple(S, H, P, causal=True, **more),
    "causal local": lambda **more: aft.torch.AFTLocal(S, H, P, 4, causal=True, **more),
    "factorised": lambda **more: aft.torch.AFTFull(S, H, P, rank=2, **more),
    "tanh": lambda **more: aft.torch.AFTFull(S, H, P, gate="tanh", **more),
    "no gate": lambda **more: aft.torch.AFTSimple(S, H, P, gate="none", **more),
    "identity": lambda **more: aft.torch.AFTLocal(S, H, P, 2, gate="identity", **more),
}


@pytest.fixture(params=FORMS)
def layer(request):
    made = FORMS[request.param]()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith("wbias"):
                parameter.normal_()
    return made


def x_of(*shape):
    return torch.randn(*shape or (B, T, H))


def gradients(layer, inputs, dy, **call):
    """Those of the inputs, of tensors in `call`, and of the parameters, by name."""
    layer.zero_grad()
    leaves = [each.detach().clone().requires_grad_() for each in inputs]
    given = {name: each.detach().clone().requires_grad_() if each.is_floating_point() else each
             for name, each in call.items()}
    y = layer(*leaves, **given)
    y.backward(dy)
    named = {f"input {i}": leaf.grad for i, leaf in enumerate(leaves)}
    named.update((name, each.grad) for name, each in given.items() if each.requires_grad)
    named.update((name, parameter.grad) for name, parameter in layer.named_parameters())
    return y.detach(), named


def assert_close(mine, exact, tolerance=5e-6):
    """Within float32's rounding of a computation in float64. NaN fails."""
    assert mine.shape == exact.shape
    if exact.numel():
        assert float((mine.double() - exact).abs().max()) <= tolerance * max(float(exact.abs().max()), 1e-3)


def assert_as_in_double(layer, *inputs, tolerance=5e-6, **call):
    """Result and gradients of the kernels are those of PyTorch's operators in double."""
    dy = torch.randn_like(layer(*inputs, **call))
    y, found = gradients(layer, inputs, dy, **call)
    exact_call = {name: each.double() if each.is_floating_point() else each for name, each in call.items()}
    exact_y, exact = gradients(copy.deepcopy(layer).double(), [each.double() for each in inputs], dy.double(),
                               **exact_call)
    assert_close(y, exact_y, tolerance)
    assert found.keys() == exact.keys()
    for name, gradient in found.items():
        if name == "to_k.bias":  # no result depends on it
            assert (gradient == 0).all()
        else:
            assert_close(gradient, exact[name], tolerance)


def test_gradients(layer):
    assert_as_in_double(layer, x_of())


def test_gradients_of_one_position(layer):
    assert_as_in_double(layer, x_of(1, 1, H))


def test_gradients_with_lengths(layer):
    assert_as_in_double(layer, x_of(), lengths=torch.tensor([10, 1, 6]))


@pytest.mark.parametrize("shape", [(T,), (T, T), (B, 1, T), (B, T, T)])
def test_gradients_with_a_mask(layer, shape):
    mask = torch.rand(shape) < 0.7
    mask[..., 0] = True
    assert_as_in_double(layer, x_of(), mask=mask)


@pytest.mark.parametrize("n, m", [(4, 9), (9, 4), (1, 12)])
def test_gradients_of_other_sources(n, m):
    for layer in (aft.torch.AFTFull(S, H, P, source_dim=5), aft.torch.AFTSimple(S, H, P, source_dim=5),
                  aft.torch.AFTFull(S, H, P, source_dim=5, causal=True), aft.torch.AFTLocal(S, H, P, 3, source_dim=5)):
        assert_as_in_double(layer, x_of(B, n, H), x_of(B, m, 5))
    assert_as_in_double(aft.torch.AFTFull(S, H, P, source_dim=5, value_dim=3), x_of(B, n, H), x_of(B, m, 5),
                        x_of(B, m, 3), lengths=torch.tensor([m, 0, 1]))


@pytest.mark.parametrize("shape", [(B, 4, 9), (1, 4, 9), (4, 9), (B, 1, 9), (9,)])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_a_bias_of_the_call(shape, causal):
    layer = aft.torch.AFTFull(None, H, P, causal=causal)
    bias = torch.randn(shape)
    assert_as_in_double(layer, x_of(B, 4, H), x_of(B, 9, H), position_bias=bias)
    bias[..., 3] = -torch.inf
    assert_as_in_double(layer, x_of(B, 4, H), x_of(B, 9, H), position_bias=bias)


def test_gradients_without_a_projection():
    assert_as_in_double(aft.torch.AFTFull(S, H, H, project=False), x_of())


@pytest.mark.parametrize("gate", ["sigmoid", "tanh", "none", "identity"])
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": 3}, {"window": 3, "causal": True}])
@pytest.mark.parametrize("bias", [None, (T, T), (B, T, T)])
def test_mean(gate, options, bias):
    if "window" in options and bias != (T, T):
        pytest.skip("a window takes a bias [S, S]")
    tensors = [torch.randn(B, T, P) for _ in range(3)] + ([] if bias is None else [torch.randn(bias)])
    dy = torch.randn(B, T, P)

    def run(dtype):
        leaves = [each.to(dtype, copy=True).requires_grad_() for each in tensors]
        query, *others = leaves
        y = aft.torch.mean(None if gate == "none" else query, *others, gate=gate, **options)
        y.backward(dy.to(dtype))
        return [y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

    for mine, exact in zip(run(torch.float32), run(torch.float64)):
        assert_close(mine, exact)


def test_mean_of_fewer_targets_without_a_query():
    key, value = torch.randn(2, B, T, P)
    y = aft.torch.mean(None, key, value, gate="none", targets=2)
    assert_close(y, torch.softmax(key.double(), 1).mul(value).sum(1, keepdim=True).expand(B, 2, P))


def test_hidden_rows_touch_nothing():
    for causal in (False, True):
        layer = aft.torch.AFTFull(S, H, P, causal=causal)
        x = x_of()
        x[1, 6:] = torch.nan
        x.requires_grad_()
        y = layer(x, lengths=torch.tensor([T, 6, T]))
        y.sum().backward()
        assert torch.isfinite(y).all() and (y[1, 6:] == 0).all()
        assert torch.isfinite(x.grad).all() and (x.grad[1, 6:] == 0).all()
        assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


@pytest.mark.parametrize("spread", [1, 60, 300])
def test_large_keys_and_biases(spread):
    layer = aft.torch.AFTFull(S, H, P)
    with torch.no_grad():
        layer.to_k.weight.mul_(spread)
        layer.wbias.normal_(std=spread / 3)
    # An exponent K + w is rounded by 2^-24 of the key, which is a relative error of its weight.
    assert_as_in_double(layer, x_of(), tolerance=max(5e-6, 4 * spread * 2**-24))


@pytest.mark.parametrize("shape", [(0, T, H), (B, 0, H)])
def test_empty(layer, shape):
    x = torch.zeros(shape, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == shape and x.grad.shape == shape
    assert all((parameter.grad == 0).all() for parameter in layer.parameters() if parameter.grad is not None)


def test_no_sources():
    y = aft.torch.AFTSimple(S, H, P)(x_of(), x_of(B, 0, H))
    assert torch.isfinite(y).all()


def test_strided(layer):
    x = torch.randn(T, B, H + 3).transpose(0, 1)[..., :H]
    assert torch.equal(layer(x), layer(x.contiguous()))
    assert torch.equal(layer(x[..., ::2].repeat_interleave(2, 2)), layer(x[..., ::2].repeat_interleave(2, 2)))
    assert_as_in_double(layer, x)
    assert_as_in_double(layer, torch.randn(1, T, H).expand(B, -1, -1))
    leaf = x_of().requires_grad_()
    layer(leaf).sum().backward()  # dy has strides of 0
    again = leaf.detach().clone().requires_grad_()
    layer(again).backward(torch.ones(B, T, H))
    assert torch.equal(leaf.grad, again.grad)


def test_the_same_bits_for_any_number_of_threads(layer):
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        found.append(gradients(layer, [x_of(5, T, H)], torch.ones(5, T, H)))
    torch.set_num_threads(before)
    for y, named in found[1:]:
        assert torch.equal(y, found[0][0])
        assert all(torch.equal(named[name], found[0][1][name]) for name in named)


def test_only_wanted_gradients(layer):
    layer.requires_grad_(False)
    x = x_of().requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None and all(parameter.grad is None for parameter in layer.parameters())
    layer.to_v.weight.requires_grad_()
    layer(x_of()).sum().backward()
    assert layer.to_v.weight.grad is not None and layer.to_k.weight.grad is None


def test_refused():
    full = aft.torch.AFTFull(S, H, P)
    with pytest.raises(aft.ShapeError, match=r"x is \[3, 10, 7\], must be \[batch, sequence, 8\]"):
        full(x_of(B, T, 7))
    with pytest.raises(aft.ShapeError, match="the sequence length is 13, must be at most max_seqlen, 12"):
        full(x_of(B, 13, H))
    with pytest.raises(aft.ShapeError, match="position_bias is given, but"):
        full(x_of(), position_bias=torch.zeros(T, T))
    with pytest.raises(aft.ShapeError, match="position_bias isn't given"):
        aft.torch.AFTFull(None, H, P)(x_of())
    with pytest.raises(aft.ShapeError, match=r"position_bias is \[2, 2\], must broadcast to \[3, 10, 10\]"):
        aft.torch.AFTFull(None, H, P)(x_of(), position_bias=torch.zeros(2, 2))
    with pytest.raises(TypeError, match="mask has the dtype"):
        full(x_of(), mask=torch.ones(T, T))
    with pytest.raises(aft.ShapeError, match="lengths are"):
        full(x_of(), lengths=torch.ones(2, dtype=torch.long))
    with pytest.raises(aft.ShapeError, match="lengths: sample 1 is 11, must be 0 to 10"):
        full(x_of(), lengths=torch.tensor([1, 11, 2]))
    with pytest.raises(aft.ConfigError, match="gate is 'relu'"):
        aft.torch.AFTFull(S, H, P, gate="relu")
    with pytest.raises(aft.ConfigError, match="project is false"):
        aft.torch.AFTFull(S, H, P, project=False)
    with pytest.raises(aft.ConfigError, match="max_seqlen is None"):
        aft.torch.AFTLocal(None, H, P)
    with pytest.raises(RuntimeError, match="save=True"):
        ones = [torch.ones(P, H, requires_grad=True) for _ in range(3)]
        torch.ops.aft.layer(x_of(), None, None, ones[0], None, ones[1], None, ones[2], None, torch.ones(H, P), None,
                            None, None, None, None, 1, 0, 0, False)
    assert aft.torch.AFTSimple(1, H, P)(x_of()).shape == (B, T, H)  # any length goes


# aft-pytorch

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


def test_the_programs_of_the_page_run():
    page = (pathlib.Path(__file__).parents[2] / "docs/pytorch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 3
    names = {}
    for block in blocks:
        exec(compile(block, "docs/pytorch.md", "exec"), names)


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


# PyTorch


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
        arguments = (*operands(FORMS[layer]()), *sight, form, 0, 3, True)
        torch.library.opcheck(torch.ops.aft.layer.default, arguments, rtol=1e-4, atol=1e-5)


def test_opcheck_of_means():
    tensors = [torch.randn(B, T, P, requires_grad=True) for _ in range(3)]
    for bias, form in [(None, 1), (torch.randn(B, T, T, requires_grad=True), 8), (torch.randn(1, T, T), 9)]:
        torch.library.opcheck(torch.ops.aft.mean.default, (*tensors, None, bias, None, None, form, 0, 0, T, True),
                              rtol=1e-4, atol=1e-5)


def test_opcheck_of_gradients():
    *arguments, save = (*operands(FORMS["full"]()), None, None, 0, 0, 0, True)
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
    assert torch.equal(y, layer(x.bfloat16().float()).bfloat16())
    y.float().sum().backward()
    assert layer.to_v.weight.grad.dtype == torch.float32


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
