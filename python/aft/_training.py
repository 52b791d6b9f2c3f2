"""Layers and means with their gradients, on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from . import _arrays
from . import _library as c
from ._arrays import Array, Out
from ._config import PARAMETERS, Config, Object, parameters_of
from ._layer import core_inputs_of, inputs_of, options_of, output, sources_in

if TYPE_CHECKING:
    from ._layer import Floats, Lengths

#: The inputs of a layer or a core whose gradients can be wanted. given_bias is that of position_bias of a call.
INPUTS = ("query", "key", "value", "given_bias")


class _Training(Object):
    """What LayerTraining and CoreTraining have in common."""

    config: Config

    def _make(self, which, config, kernel, storage):
        handle = ctypes.c_void_p()
        getattr(c, f"{which}_create")(config._struct(), options_of(kernel, None, storage), handle)
        super().__init__(handle, getattr(c, f"{which}_destroy"))
        self._which = which
        self.config = config

    @property
    def scratch_bytes(self) -> int:
        """Bytes of memory that it keeps between calls."""
        count = ctypes.c_uint64()
        getattr(c, f"{self._which}_scratch_bytes")(self._handle, count)
        return count.value

    def _new_gradients(self, wanted, gradients, shapes):
        """New arrays for `wanted`, whose views become members of `gradients`."""
        result, views = {}, []
        for name in wanted:
            if name not in shapes:
                raise c.ArgumentError(f"wanted has {name!r}, must be of {', '.join(shapes)}")
            result[name], view = _arrays.new(shapes[name])
            views.append(view)
            setattr(gradients, name, view.tensor() if name in INPUTS else view.address)
        return result


class LayerTraining(_Training):
    """A layer with its gradients. It holds no weights, as they change from step to step.

    config: a Config of any form but "conv" and "wkv". kernel, storage: as of a Layer, but for int8. ConfigError.
    Thread-safe; right for every finite input; the same bits for any number of threads.
    """

    def __init__(self, config: Config, *, kernel: str | None = None, storage: str | None = None) -> None:
        self._make("layer_training", config, kernel, storage)

    def _saved_size(self, inputs, extents):
        size = ctypes.c_int64()
        c.layer_training_saved_size(self._handle, inputs, extents, size)
        return size.value

    def forward(self, parameters: Mapping[str, Array | None], query: Array, key: Array | None = None,
                value: Array | None = None, *, position_bias: Array | None = None, bias_scale: float | None = None,
                lengths: Lengths | None = None, mask: Array | None = None,
                out: Out | None = None) -> tuple[Floats | Out, Floats]:
        """y = layer(inputs), [B, n, hidden], and what backward() needs, an array [saved].

        parameters: a mapping of arrays, as of Weights. The others are those of a Layer's call.
        """
        x = _arrays.view(query, "query", ndim=3)
        inputs, kept = inputs_of(x, key, value, position_bias, bias_scale, lengths, mask)
        struct, arrays = parameters_of(self.config, parameters)
        result, y = output(out, (*x.shape[:2], self.config.hidden))
        extents = c.Extents(*y.shape)
        saved, saved_view = _arrays.new((self._saved_size(inputs, extents),))
        c.layer_training_forward(self._handle, struct, inputs, extents, y.address, y.rows(), saved_view.address)
        del kept, arrays
        return result, saved

    def backward(self, dy: Array, saved: Array, parameters: Mapping[str, Array | None], query: Array,
                 key: Array | None = None, value: Array | None = None, *, position_bias: Array | None = None,
                 bias_scale: float | None = None, lengths: Lengths | None = None, mask: Array | None = None,
                 wanted: Iterable[str] | None = None) -> dict[str, Floats]:
        """The gradients of a loss with dy = dL/dy, [B, n, hidden], at a call and its `saved`: a dict of new arrays.

        wanted: names of inputs of the call and of parameters. None: all of them. Where the query is the key or the
        value too, its gradient has theirs. That of position_bias is called given_bias, [B, n, m].
        """
        x = _arrays.view(query, "query", ndim=3)
        inputs, kept = inputs_of(x, key, value, position_bias, bias_scale, lengths, mask)
        struct, arrays = parameters_of(self.config, parameters)
        shapes = {"query": x.shape}
        if key is not None:
            shapes["key"] = kept[0].shape
        if value is not None:
            shapes["value"] = kept[1].shape
        if position_bias is not None:
            shapes["given_bias"] = (*x.shape[:2], sources_in(x, kept[0], None))
        all_parameters = self.config.shapes()
        shapes.update((name, all_parameters[name]) for name in PARAMETERS if parameters.get(name) is not None)
        gradients = c.LayerGradients()
        result = self._new_gradients(shapes if wanted is None else wanted, gradients, shapes)
        slope = _arrays.view(dy, "dy", ndim=3)
        extents = c.Extents(*slope.shape)
        kept_floats = _checked(saved, self._saved_size(inputs, extents))
        c.layer_training_backward(self._handle, struct, inputs, extents, slope.address, slope.rows(),
                                  kept_floats.address, gradients)
        del kept, arrays
        return result


class CoreTraining(_Training):
    """The weighted mean of a form, without projections, with its gradients; as LayerTraining."""

    def __init__(self, config: Config, *, kernel: str | None = None, storage: str | None = None) -> None:
        self._make("core_training", config, kernel, storage)

    def _parameters(self, parameters):
        struct, arrays = parameters_of(self.config, parameters or {}, of="core")
        return c.CoreParameters(position_bias=struct.position_bias), arrays

    def _saved_size(self, inputs, batch, targets):
        size = ctypes.c_int64()
        c.core_training_saved_size(self._handle, batch, targets, inputs.sight or None, size)
        return size.value

    def forward(self, query: Array | None, key: Array, value: Array,
                parameters: Mapping[str, Array | None] | None = None, *, targets: int | None = None,
                position_bias: Array | None = None, bias_scale: float | None = None, lengths: Lengths | None = None,
                mask: Array | None = None, out: Out | None = None) -> tuple[Floats | Out, Floats]:
        """y, [B, n, P], and what backward() needs. parameters: {"position_bias": w}, of the forms that have one."""
        inputs, (B, n, m), kept = core_inputs_of(query, key, value, targets, position_bias, bias_scale, lengths, mask)
        struct, arrays = self._parameters(parameters)
        result, y = output(out, (B, n, self.config.projected))
        saved, saved_view = _arrays.new((self._saved_size(inputs, B, n),))
        c.core_training_forward(self._handle, struct, inputs, c.Extents(*y.shape), y.address, y.rows(),
                                saved_view.address)
        del kept, arrays
        return result, saved

    def partial(self, key: Array, value: Array, parameters: Mapping[str, Array | None] | None = None, *,
                targets: int | None = None, position_bias: Array | None = None, bias_scale: float | None = None,
                lengths: Lengths | None = None, mask: Array | None = None) -> tuple[Floats, Floats]:
        """The mean of each target without the gate, and the logarithm of the sum of its weights, both [B, n, P].

        One source with this logarithm as key and this mean as value stands for all sources of the call, so that a
        program can hold them in pieces. A target without a source has the mean 0 and the logarithm -inf.
        """
        inputs, shape, kept = core_inputs_of(None, key, value, targets, position_bias, bias_scale, lengths, mask)
        struct, arrays = self._parameters(parameters)
        extents = (*shape[:2], self.config.projected)
        (mean, mean_view), (log_weight, log_view) = _arrays.new(extents), _arrays.new(extents)
        c.core_training_partial(self._handle, struct, inputs, c.Extents(*extents), mean_view.address, None,
                                log_view.address, None)
        del kept, arrays
        return mean, log_weight

    def backward(self, dy: Array, saved: Array, query: Array | None, key: Array, value: Array,
                 parameters: Mapping[str, Array | None] | None = None, *, targets: int | None = None,
                 position_bias: Array | None = None, bias_scale: float | None = None, lengths: Lengths | None = None,
                 mask: Array | None = None, wanted: Iterable[str] | None = None) -> dict[str, Floats]:
        """The gradients, a dict of new arrays: of the inputs, given_bias and position_bias; as LayerTraining's."""
        inputs, (B, n, m), kept = core_inputs_of(query, key, value, targets, position_bias, bias_scale, lengths, mask)
        struct, arrays = self._parameters(parameters)
        shapes = {"key": kept[1].shape, "value": kept[2].shape}
        if query is not None:
            shapes["query"] = kept[0].shape
        if position_bias is not None:
            shapes["given_bias"] = (B, n, m)
        if struct.position_bias:
            shapes["position_bias"] = self.config.shapes()["position_bias"]
        gradients = c.CoreGradients()
        result = self._new_gradients(shapes if wanted is None else wanted, gradients, shapes)
        slope, kept_floats = _arrays.view(dy, "dy", ndim=3), _checked(saved, self._saved_size(inputs, B, n))
        c.core_training_backward(self._handle, struct, inputs, c.Extents(*slope.shape), slope.address, slope.rows(),
                                 kept_floats.address, gradients)
        del kept, arrays
        return result


def _checked(saved, size):
    """The View of what a forward() saved, whose size C can't check."""
    return _arrays.without_gaps(saved, "saved", (size,))
