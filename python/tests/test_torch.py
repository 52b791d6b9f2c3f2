"""The numbers of aft.torch: results and gradients by the kernels against PyTorch's operators in double."""

import copy

import pytest

torch = pytest.importorskip("torch")

import aft  # noqa: E402
import aft.torch  # noqa: E402
from torch_layers import FORMS, B, H, P, S, T, gradients, layer_of, x_of  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=FORMS)
def layer(request):
    return layer_of(request.param)


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
                            None, None, None, None, 1, 0, 0, False, False)
    assert aft.torch.AFTSimple(1, H, P)(x_of()).shape == (B, T, H)  # any length goes


@pytest.mark.parametrize("name, shape", [("to_q.weight", (P, H - 1)), ("to_k.bias", (P - 1,)), ("project.bias", (1,)),
                                         ("to_v.weight", (P - 1, H)), ("wbias", (S, S - 1))])
def test_parameters_of_another_shape_are_refused(name, shape):
    layer = aft.torch.AFTFull(S, H, P)
    module, _, parameter = name.rpartition(".")
    setattr(layer.get_submodule(module), parameter, torch.nn.Parameter(torch.zeros(shape)))
    with pytest.raises(aft.ShapeError, match=r"is \["):
        layer(x_of())
