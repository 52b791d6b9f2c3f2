"""The layers in JAX, compiled by XLA. It uses a thread for each processor that the process may use."""

import functools

import jax
import jax.numpy as jnp


def prepare(threads):
    jax.config.update("jax_platforms", "cpu")


def exp_below_maximum(x, axis):
    return jnp.exp(x - x.max(axis, keepdims=True))


def multiply_bfloat16(a, b):
    return jnp.matmul(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def mean_of_call(bias, terms, multiply):
    numerator, denominator = jnp.split(multiply(exp_below_maximum(bias, 2), terms), 2, -1)
    return numerator / denominator


def given(query, key, value, bias, multiply):
    weight = exp_below_maximum(key, 1)
    return jax.nn.sigmoid(query) * mean_of_call(bias, jnp.concatenate([weight * value, weight], -1), multiply)


def later(left, right):
    """Two stretches of wkv's sources as one: (decay of the stretch, largest exponent, numerator, denominator)."""
    decay, exponent = left[0] + right[0], left[1] - right[0]
    top = jnp.maximum(exponent, right[1])
    before, now = jnp.exp(exponent - top), jnp.exp(right[1] - top)
    return decay, top, before * left[2] + now * right[2], before * left[3] + now * right[3]


def wkv(problem, form):
    decay, bonus = (jnp.asarray(problem.tensors[name]) for name in ("decay", "bonus"))

    def with_current(state, key, value):
        exponent, numerator, denominator = state
        current = key + bonus
        top = jnp.maximum(exponent, current)
        before, now = jnp.exp(exponent - top), jnp.exp(current - top)
        return (before * numerator + now * value) / (before * denominator + now)

    def associative(key, value):
        sources = (jnp.broadcast_to(decay, key.shape), key, value, jnp.ones_like(key))
        _, *state = jax.lax.associative_scan(later, sources, axis=1)
        before = [jnp.pad(each[:, :-1], ((0, 0), (1, 0), (0, 0)), constant_values=first)
                  for each, first in zip(state, (-1e38, 0, 0))]
        return with_current(before, key, value)

    def recurrent(key, value):
        def step(state, source):
            _, *after = later((0, *state), (decay, *source, 1))
            return after, with_current(state, *source)

        zero = jnp.zeros_like(key[:, 0])
        _, means = jax.lax.scan(step, [zero - 1e38, zero, zero], (key.swapaxes(0, 1), value.swapaxes(0, 1)))
        return means.swapaxes(0, 1)

    return associative if form == "associative" else recurrent


def mean_function(problem, form, multiply):
    """The mean of keys and values."""
    if problem.layer == "wkv":
        return wkv(problem, form)
    if form == "banded":
        sources, weights = map(jnp.asarray, problem.band())
    elif form == "blocked":
        blocks = [jnp.asarray(weights) for weights in problem.triangle()]
    elif problem.layer == "conv":
        taps = [jnp.asarray(taps) for taps in problem.filter().T[::-1]]
    elif problem.layer.endswith(("full", "local")):
        weights = jnp.asarray(problem.exp_bias())

    def sums(terms):
        if form == "blocked":
            return jnp.concatenate([multiply(block, terms[:, :block.shape[1]]) for block in blocks], 1)
        if form == "banded":
            windows = jnp.pad(terms, ((0, 0), (0, 1), (0, 0)))[:, sources]
            band = multiply(weights, windows).reshape(problem.batch, -1, terms.shape[-1])[:, :problem.seq]
            return (terms.cumsum(1) if problem.is_causal else terms.sum(1, keepdims=True)) + band
        if problem.layer == "conv":  # XLA's convolutions of single channels are slow
            shifted = (jnp.pad(terms, ((0, 0), (d, 0), (0, 0)))[:, :problem.seq] for d in range(len(taps)))
            return terms.cumsum(1) + sum(tap * each for tap, each in zip(taps, shifted))
        if problem.layer == "causal_simple":
            return terms.cumsum(1)
        return terms.sum(1, keepdims=True) if problem.layer == "simple" else multiply(weights, terms)

    def mean(key, value):
        weight = exp_below_maximum(key, 1)
        weighted = weight * value
        if form == "dense" and problem.layer != "conv":
            return sums(weighted) / sums(weight)
        numerator, denominator = jnp.split(sums(jnp.concatenate([weighted, weight], -1)), 2, -1)
        return numerator / denominator

    return mean


def layer_function(problem, form):
    form, *storage = form.split()
    multiply = multiply_bfloat16 if storage else jnp.matmul
    if problem.layer == "given":
        return functools.partial(given, multiply=multiply)
    input_weight, input_bias = jnp.asarray(problem.input_weight), jnp.asarray(problem.input_bias)
    output_weight, output_bias = jnp.asarray(problem.output_weight), jnp.asarray(problem.output_bias)
    mean = None if problem.layer == "kept" else mean_function(problem, form, multiply)

    def layer(x, *bias_and_terms):
        projected = multiply(x, input_weight) + input_bias
        if mean:
            query, key, value = jnp.split(projected, 3, -1)
            gated = jax.nn.sigmoid(query) * mean(key, value)
        else:
            gated = jax.nn.sigmoid(projected) * mean_of_call(*bias_and_terms, multiply)
        return multiply(gated, output_weight) + output_bias

    return layer


def make(problem, form):
    inputs = [jnp.asarray(each) for each in problem.inputs.values()]
    compiled = jax.jit(layer_function(problem, form)).lower(*inputs).compile()
    return lambda: compiled(*inputs).block_until_ready()
