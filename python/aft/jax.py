"""AFT layers and means for JAX, with gradients by the library's kernels, in float32 on the CPU.

    config = aft.Config("full", hidden=64, projected=32, max_seq_len=128)
    y = aft.jax.layer(config, parameters, x)  # within jax.jit, jax.grad, ...

They are callbacks on XLA's buffers. jax.vmap calls them once for each element. Second derivatives and forward mode
aren't supported: JAX refuses them.
"""

from __future__ import annotations

import functools

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    from jax.experimental.buffer_callback import buffer_callback
except ImportError as error:
    raise ImportError("aft.jax needs JAX 0.7 or later: pip install jax") from error

from . import _library as c
from ._arrays import view
from ._config import Config
from ._layer import core_inputs_of, inputs_of
from ._training import CoreTraining, LayerTraining

_layer_of = functools.lru_cache(maxsize=None)(LayerTraining)
_core_of = functools.lru_cache(maxsize=None)(CoreTraining)

_INPUTS = ("query", "key", "value", "position_bias", "lengths", "mask")


def layer(config: Config, parameters, query, key=None, value=None, *, position_bias=None, lengths=None, mask=None):
    """y = layer(inputs), [B, n, hidden]; differentiable by all of them but lengths and mask.

    parameters: a mapping of arrays by name, with the shapes of config.shapes(). The others are those of a call of
    aft.Layer. TypeError for another dtype than float32. Errors of the call end the computation with their text.
    """
    arrays = {"parameters": dict(parameters), "query": query, "key": key, "value": value}
    key = query if key is None else key
    return _call(_Layer, config, arrays, (query.shape[0], query.shape[1], key.shape[1]), position_bias, lengths, mask)


def mean(config: Config, query, key, value, parameters=None, *, targets=None, position_bias=None, lengths=None,
         mask=None):
    """y, [B, n, P], of aft.Core, whose call's arguments it has; differentiable by all of them but lengths and mask."""
    arrays = {"parameters": dict(parameters or {}), "query": query, "key": key, "value": value}
    targets = query.shape[1] if query is not None else key.shape[1] if targets is None else targets
    return _call(_Mean, config, arrays, (key.shape[0], targets, key.shape[1]), position_bias, lengths, mask)


def _call(kind, config, arrays, shape, position_bias, lengths, mask):
    for each in jax.tree.leaves((arrays, position_bias)):
        if each.dtype != jnp.float32:
            raise TypeError(f"an array of the dtype {each.dtype} is given, must be float32")
    if position_bias is not None:
        arrays["position_bias"] = jnp.broadcast_to(position_bias, shape)
    return _run(kind, config, shape[1], arrays, {"lengths": lengths, "mask": mask})


class _Layer:
    @staticmethod
    def training(config):
        return _layer_of(config)

    @staticmethod
    def shapes(config, targets, arrays, sight):
        """Those of y and of what is saved."""
        B, n, _ = arrays["query"].shape
        extents = (B, n, config.hidden)
        query, key, value, position_bias, lengths, mask = (_like((arrays | sight).get(name)) for name in _INPUTS)
        inputs, kept = inputs_of(view(query, "query"), key, value, position_bias, None, lengths, mask)
        size = _Layer.training(config)._saved_size(inputs, c.Extents(*extents))
        del kept
        return extents, (size,)

    @staticmethod
    def arguments(targets, arrays, sight):
        arguments = {name: array for name, array in arrays.items() if name != "parameters"}
        return {"parameters": arrays["parameters"], **arguments, **sight}


class _Mean:
    @staticmethod
    def training(config):
        return _core_of(config)

    @staticmethod
    def shapes(config, targets, arrays, sight):
        query, key, value, position_bias, lengths, mask = (_like((arrays | sight).get(name)) for name in _INPUTS)
        inputs, (B, n, _), kept = core_inputs_of(query, key, value, targets, position_bias, None, lengths, mask)
        size = _Mean.training(config)._saved_size(inputs, B, n)
        del kept
        return (B, n, config.projected), (size,)

    @staticmethod
    def arguments(targets, arrays, sight):
        return {**_Layer.arguments(targets, arrays, sight), "targets": targets}


def _like(array):
    """Memory of the shape of an array, which nothing reads."""
    return None if array is None else np.zeros(array.shape, array.dtype)


def _forward(kind, config, targets, arrays, sight):
    y_shape, saved_shape = kind.shapes(config, targets, arrays, sight)

    def call(_, out, arrays, sight):
        arguments = kind.arguments(targets, *jax.tree.map(np.asarray, (arrays, sight)))
        y, saved = (np.asarray(each) for each in out)
        saved[...] = kind.training(config).forward(**arguments, out=y)[1]

    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (y_shape, saved_shape)]
    return buffer_callback(call, results, vmap_method="sequential")(arrays, sight)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _run(kind, config, targets, arrays, sight):
    return _forward(kind, config, targets, arrays, sight)[0]


def _run_forward(kind, config, targets, arrays, sight):
    y, saved = _forward(kind, config, targets, arrays, sight)
    return y, (arrays, sight, saved)


def _run_backward(kind, config, targets, kept, dy):
    arrays, sight, saved = kept

    def call(_, out, dy, saved, arrays, sight):
        arguments = kind.arguments(targets, *jax.tree.map(np.asarray, (arrays, sight)))
        gradients = kind.training(config).backward(np.asarray(dy), np.asarray(saved), **arguments)
        for name, place in out.items():
            if name != "parameters" and place is not None:
                np.asarray(place)[...] = gradients["given_bias" if name == "position_bias" else name]
        for name, place in out["parameters"].items():
            np.asarray(place)[...] = gradients[name]

    results = jax.tree.map(lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype), arrays)
    gradients = buffer_callback(call, results, vmap_method="sequential")(dy, saved, arrays, sight)
    return gradients, jax.tree.map(lambda each: np.zeros(each.shape, jax.dtypes.float0), sight)


_run.defvjp(_run_forward, _run_backward)
