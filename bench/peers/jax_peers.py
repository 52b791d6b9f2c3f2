"""The layers in JAX, compiled by XLA. It uses a thread for each processor that the process may use."""

import jax
import jax.numpy as jnp


def prepare(threads):
    jax.config.update("jax_platforms", "cpu")


def layer_function(problem, form):
    input_weight, input_bias = jnp.asarray(problem.input_weight), jnp.asarray(problem.input_bias)
    output_weight, output_bias = jnp.asarray(problem.output_weight), jnp.asarray(problem.output_bias)
    if form == "banded":
        sources, weights = map(jnp.asarray, problem.band())
    elif problem.layer != "simple":
        weights = jnp.asarray(problem.exp_bias())

    def layer(x):
        query, key, value = jnp.split(x @ input_weight + input_bias, 3, -1)
        weight = jnp.exp(key - key.max(1, keepdims=True))
        weighted = weight * value
        if problem.layer == "simple":
            mean = weighted.sum(1, keepdims=True) / weight.sum(1, keepdims=True)
        elif form == "dense":
            mean = (weights @ weighted) / (weights @ weight)
        else:
            terms = jnp.concatenate([weighted, weight], -1)
            windows = jnp.pad(terms, ((0, 0), (0, 1), (0, 0)))[:, sources]
            band = (weights @ windows).reshape(problem.batch, -1, terms.shape[-1])[:, :problem.seq]
            numerator, denominator = jnp.split(terms.sum(1, keepdims=True) + band, 2, -1)
            mean = numerator / denominator
        return (jax.nn.sigmoid(query) * mean) @ output_weight + output_bias

    return layer


def make(problem, form):
    x = jnp.asarray(problem.x)
    compiled = jax.jit(layer_function(problem, form)).lower(x).compile()
    return lambda: compiled(x).block_until_ready()
