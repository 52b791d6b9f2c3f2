"""aft.jax against aft's own training interface and against JAX's gradients of the formula."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

import aft  # noqa: E402
import aft.jax  # noqa: E402

B, T, H, P = 2, 9, 8, 6


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def parameters_of(config):
    return {name: random(i, *shape) / 2 for i, (name, shape) in enumerate(config.shapes().items())}


def formula(config, parameters, x, key=None, position_bias=None, lengths=None, mask=None):
    """AFTFull, AFTSimple and their causal forms by JAX."""
    source = x if key is None else key
    project = lambda name, each: each @ parameters[f"{name}_weight"].T + parameters[f"{name}_bias"]  # noqa: E731
    q, k, v = project("query", x), project("key", source), project("value", source)
    n, m = q.shape[1], k.shape[1]
    w = position_bias
    if w is None:
        w = parameters["position_bias"][:n, :m] if "position_bias" in parameters else jnp.zeros((n, m))
    exponents = jnp.broadcast_to(w, (len(x), n, m))[..., None] + k[:, None]
    visible = jnp.ones((len(x), n, m), bool)
    if config.form.startswith("causal"):
        visible &= jnp.arange(m) <= jnp.arange(n)[:, None] + m - n
    if lengths is not None:
        visible &= (jnp.arange(m) < lengths[:, None])[:, None]
    if mask is not None:
        visible &= mask
    weights = jax.nn.softmax(jnp.where(visible[..., None], exponents, -jnp.inf), 2)
    y = project("project", jax.nn.sigmoid(q) * jnp.einsum("bijc,bjc->bic", weights, v))
    if lengths is not None and key is None:
        y = jnp.where((jnp.arange(n) < lengths[:, None])[..., None], y, 0)
    return y


@pytest.mark.parametrize("form", ["full", "simple", "causal_full", "causal_simple", "given", "causal_given"])
@pytest.mark.parametrize("sight", [{}, {"lengths": jnp.array([9, 4])}, {"mask": jnp.arange(T) != 3}], ids=str)
def test_layers(form, sight):
    config = aft.Config(form, H, P, T)
    arrays = {"parameters": parameters_of(config), "x": random(20, B, T, H)}
    if form.endswith("given"):
        arrays["position_bias"] = random(21, T, T)
    dy = random(22, B, T, H)

    def run(function, arrays):
        more = {"position_bias": arrays["position_bias"]} if "position_bias" in arrays else {}
        return function(config, arrays["parameters"], arrays["x"], **more, **sight)

    y, pull = jax.vjp(lambda arrays: jax.jit(run, static_argnums=0)(aft.jax.layer, arrays), arrays)
    exact, exact_pull = jax.vjp(lambda arrays: run(formula, arrays), arrays)
    np.testing.assert_allclose(y, exact, rtol=2e-5, atol=2e-5)
    gradients, exact_gradients = jax.jit(pull)(dy)[0], exact_pull(dy)[0]
    scale = max(float(jnp.abs(each).max()) for each in jax.tree.leaves(exact_gradients))
    jax.tree.map(lambda mine, other: np.testing.assert_allclose(mine, other, rtol=0, atol=2e-5 * scale), gradients,
                 exact_gradients)


def test_other_sources():
    config = aft.Config("full", H, P, 12, key_hidden=5)
    parameters, x, key = parameters_of(config), random(1, B, 4, H), random(2, B, 12, 5)
    found = jax.grad(lambda key: aft.jax.layer(config, parameters, x, key).sum())(key)
    exact = jax.grad(lambda key: formula(config, parameters, x, key).sum())(key)
    y, exact_y = (function(config, parameters, x, key) for function in (aft.jax.layer, formula))
    np.testing.assert_allclose(y, exact_y, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", ["sigmoid", "none"])
def test_means(gate):
    config = aft.Config("full", 0, P, T, gate=gate)
    query, key, value = random(3, 3, B, T, P)
    query = None if gate == "none" else query
    parameters = {"position_bias": random(4, T, T)}
    weights = jax.nn.softmax(parameters["position_bias"][..., None] + key[:, None], 2)
    exact = jnp.einsum("bijc,bjc->bic", weights, value) * (1 if query is None else jax.nn.sigmoid(query))
    np.testing.assert_allclose(aft.jax.mean(config, query, key, value, parameters), exact, rtol=2e-5, atol=2e-5)
    found = jax.grad(lambda key: aft.jax.mean(config, query, key, value, parameters)[..., 0].sum())(key)
    assert found.shape == key.shape and not found[..., 1:].any() and found[..., 0].any()
    assert aft.jax.mean(aft.Config("simple", 0, P, gate="none"), None, key, value, targets=2).shape == (B, 2, P)


def test_vmap():
    config = aft.Config("simple", H, P)
    parameters, x = parameters_of(config), random(5, 3, B, T, H)
    run = lambda x: aft.jax.layer(config, parameters, x)  # noqa: E731
    np.testing.assert_array_equal(jax.vmap(run)(x), jnp.stack([run(each) for each in x]))


def test_refused():
    config = aft.Config("simple", H, P)
    parameters, x = parameters_of(config), random(6, B, T, H)
    with pytest.raises(TypeError, match="an array of the dtype float16 is given, must be float32"):
        aft.jax.layer(config, parameters, x.astype(jnp.float16))
    with pytest.raises(Exception, match="x: hidden is 7, must be 8"):
        jax.block_until_ready(aft.jax.layer(config, parameters, x[..., 1:]))
    with pytest.raises(Exception, match=r"lengths: sample 1 is 10, must be 0 to 9"):
        jax.block_until_ready(aft.jax.layer(config, parameters, x, lengths=jnp.array([1, 10])))
