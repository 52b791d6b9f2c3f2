"""Layers, means, states and kept sources."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from . import _arrays
from . import _library as c
from ._arrays import Array, Out
from ._config import Config, Object, Weights
from ._machine import Device, Kernel, device_of, kernel_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    #: How many sources or positions each sample has.
    Lengths = Union[Sequence[int], npt.NDArray[np.integer[Any]]]


def options_of(kernel, device, storage):
    """aft_layer_options."""
    return c.LayerOptions(kernel=c.text(kernel, "kernel"), device=c.text(device, "device"),
                          storage=c.text(storage, "storage"))


def sight_of(extents, position_bias, bias_scale, lengths, mask):
    """aft_sight for `extents`, [B, n, m], and what keeps its arrays alive; (None, None) if there is nothing to say."""
    if bias_scale is not None and position_bias is None:
        raise c.ArgumentError("bias_scale is given without position_bias")
    if position_bias is None and lengths is None and mask is None:
        return None, None
    sight, kept = c.Sight(), []
    if position_bias is not None:
        kept.append(_arrays.view(position_bias, "position_bias").broadcast(extents, "position_bias"))
        sight.position_bias = kept[-1].tensor()
        if bias_scale is not None:
            sight.bias_scale = ctypes.pointer(ctypes.c_float(bias_scale))
    if lengths is not None:
        kept.append(_arrays.lengths_of(lengths, extents[0]))
        sight.lengths = kept[-1].ctypes.data
    if mask is not None:
        kept.append(_arrays.view(mask, "mask", dtype="bool").broadcast(extents, "mask"))
        sight.mask = kept[-1].tensor()
    return sight, kept


def output(out, shape):
    """The array of a result, a new one if `out` is None, and its View."""
    if out is None:
        return _arrays.new(shape)
    return out, _arrays.view(out, "out", ndim=3, writable=True)


class State(Object):
    """All that a causal layer keeps of the positions before, for `batch` sequences, each at its own position.

    It lies in the host's memory. One call at a time may use it. ConfigError for a form that isn't causal, or whose
    position bias is given by each call; ShapeError for a batch below 0 or a state of more than 2^31 - 1 elements.
    """

    config: Config

    def __init__(self, config: Config, batch: int) -> None:
        handle = ctypes.c_void_p()
        c.state_create(config._struct(), c.whole(batch, "batch"), handle)
        self._own(handle, config)

    def _own(self, handle, config):
        Object.__init__(self, handle, c.state_destroy)
        self.config = config
        return self

    def copy(self) -> State:
        """A copy, independent of the original."""
        handle = ctypes.c_void_p()
        c.state_copy(self._handle, handle)
        return State.__new__(State)._own(handle, self.config)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> State:
        return self.copy()

    def copy_sample(self, sample: int, other: State, other_sample: int) -> None:
        """Makes sequence `sample` a copy of sequence `other_sample` of `other`, which may be this state.

        ShapeError if one of them doesn't exist, ConfigError if the configs differ.
        """
        c.state_copy_sample(self._handle, c.whole(sample, "sample"), other._handle,
                            c.whole(other_sample, "other_sample"))

    def reset(self, sample: int) -> None:
        """Sets a sequence back to position 0. ShapeError unless 0 <= sample < batch."""
        c.state_reset(self._handle, c.whole(sample, "sample"))

    @property
    def batch(self) -> int:
        """The number of sequences."""
        count = ctypes.c_int64()
        c.state_batch(self._handle, count)
        return count.value

    def position(self, sample: int = 0) -> int:
        """How many positions of a sequence the state has seen. ShapeError unless 0 <= sample < batch."""
        count = ctypes.c_int64()
        c.state_position(self._handle, c.whole(sample, "sample"), count)
        return count.value

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the state to a safetensors file, whole or not at all. WeightsError if it can't be written."""
        c.state_save(self._handle, c.text(path, "path"))

    @classmethod
    def load(cls, path: str | os.PathLike[str], config: Config) -> State:
        """The state that save() wrote. WeightsError, whose text lists all that doesn't fit `config`."""
        handle = ctypes.c_void_p()
        c.state_load(c.text(path, "path"), config._struct(), handle)
        return cls.__new__(cls)._own(handle, config)


class Sources(Object):
    """Sources that a layer keeps for many calls: their keys and values. Layer.sources() makes them.

    key: [B, m, key_hidden]. value: [B, m, value_hidden]; None: the key. ShapeError, KernelError, DeviceError.
    Thread-safe.
    """

    def __init__(self, layer: Layer, key: Array, value: Array | None = None) -> None:
        keys = _arrays.view(key, "key", ndim=3)
        values = None if value is None else _arrays.view(value, "value", ndim=3)
        handle = ctypes.c_void_p()
        c.sources_create(layer._handle, keys.tensor(), None if values is None else values.tensor(), handle)
        super().__init__(handle, c.sources_destroy, kept=layer)
        self.count: int = keys.shape[1]


class _Placed(Object):
    """What Layer and Core have in common."""

    config: Config

    def _make(self, which, config, weights, *options):
        handle = ctypes.c_void_p()
        getattr(c, f"{which}_create")(config._struct(), weights and weights._handle, options_of(*options), handle)
        super().__init__(handle, getattr(c, f"{which}_destroy"))
        self._which = which
        self.config = config

    @property
    def device(self) -> Device:
        """The aft.Device that it lives on."""
        info = ctypes.POINTER(c.DeviceInfo)()
        getattr(c, f"{self._which}_device")(self._handle, info)
        return device_of(info.contents)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of host memory that it keeps between calls."""
        count = ctypes.c_uint64()
        getattr(c, f"{self._which}_scratch_bytes")(self._handle, count)
        return count.value

    def _kernel_for(self, **sizes):
        info = ctypes.POINTER(c.KernelInfo)()
        counts = (c.whole(size, name) for name, size in sizes.items())
        getattr(c, f"{self._which}_kernel_for")(self._handle, *counts, info)
        return kernel_of(info.contents)


class Layer(_Placed):
    """An AFT layer with its weights, on its device.

    config: a Config. weights: a Weights, or a mapping of its arrays by name.
    kernel: the id of the kernel that must run. device: an id or an API, such as "cpu" or "cuda:0". storage: "float32",
        "bfloat16" for kernels that keep their operands in it, or "int8" for those that keep the weights of projections
        in it, where there are any. None: the environment's AFT_KERNEL, AFT_DEVICE and AFT_STORAGE, or the library's
        choice, which is float32.

    ConfigError, WeightsError, ShapeError, KernelError, DeviceError. Any number of threads may call a layer at a time.
    Calls release the GIL. Results have the same bits for any number of threads.
    """

    def __init__(self, config: Config, weights: Weights | Mapping[str, Array | None], *, kernel: str | None = None,
                 device: str | None = None, storage: str | None = None) -> None:
        if not isinstance(weights, Weights):
            weights = Weights(config, **weights)
        self._make("layer", config, weights, kernel, device, storage)

    def __call__(self, query: Array, key: Array | None = None, value: Array | None = None, *,
                 position_bias: Array | None = None, bias_scale: float | None = None, lengths: Lengths | None = None,
                 mask: Array | None = None, sources: Sources | None = None, out: Out | None = None,
                 stream: int | None = None) -> Floats | Out:
        """y = layer(inputs), [B, n, hidden] of float32.

        Arrays are NumPy's or have DLPack, are float32, and aren't copied. The stride of their last dimension must be 1.

        query: [B, n, hidden]. key: [B, m, key_hidden]; None: the query. value: [B, m, value_hidden]; None: the key.
        position_bias: w of the forms "given" and "causal_given"; [B, n, m], [n, m], or 1 instead of B or n. -inf hides
            a pair.
        bias_scale: a factor of position_bias.
        lengths: [B] whole numbers, 0..m: how many sources each sample has. Without key, y is 0 beyond them.
        mask: bools, true where the target sees the source; its shapes are those of position_bias.
        sources: kept Sources, instead of key and value.
        out: an array for y. It must overlap no input. It is returned. None: a new NumPy array. ValueError if it's
            read-only.
        stream: of CUDA, as an int. Only for tensors in the memory of the layer's CUDA device, with `out`: the call
            queues the work, and takes no other argument.

        TypeError for another dtype; ShapeError before anything is written; ArgumentError, KernelError, DeviceError.
        """
        alone = key is value is position_bias is bias_scale is lengths is mask is sources is None
        if _arrays.is_on_cuda(query):
            if not alone:
                raise c.ArgumentError("query is on CUDA, so that the call takes no other argument than out and stream")
            return self._on_cuda(query, out, stream)
        if stream is not None:
            raise c.ArgumentError("stream is given, but query isn't on CUDA")
        x = _arrays.view(query, "query", ndim=3)
        B, n, _ = x.shape
        result, y = output(out, (B, n, self.config.hidden))
        extents, strides = c.Extents(*y.shape), y.rows()
        if alone and x.strides is None and x.shape == y.shape:  # the usual call, which has less to convert
            c.layer_forward(self._handle, extents, x.address, None, y.address, strides)
            return result
        inputs, kept = inputs_of(x, key, value, position_bias, bias_scale, lengths, mask, sources)
        c.layer_call(self._handle, inputs, extents, y.address, strides)
        del kept
        return result

    def _on_cuda(self, query, out, stream):
        x = _arrays.view(query, "query", ndim=3, on=_arrays.CUDA, stream=stream)
        if out is None:
            raise c.ArgumentError("query is on CUDA, so that out must be given, in the same memory")
        y = _arrays.view(out, "out", ndim=3, writable=True, on=_arrays.CUDA, stream=stream)
        if x.shape != y.shape:
            raise c.ShapeError(f"out is {list(y.shape)}, must be {list(x.shape)}")
        c.layer_forward_cuda(self._handle, c.Extents(*x.shape), x.address, x.rows(), y.address, y.rows(), stream)
        return out

    def synchronize(self) -> None:
        """Waits until the device has done all queued work. DeviceError if some of it failed."""
        c.layer_synchronize(self._handle)

    def step(self, state: State, x: Array, *, lengths: Lengths | None = None, out: Out | None = None) -> Floats | Out:
        """The next n positions of every sequence of a State: y = layer(x), which sees all positions before.

        x: [B, n, hidden], B as in the state. lengths: [B] of 0..n, how many of them each sequence has. out: as in a
        call. A sequence may come in pieces of any sizes. ShapeError, and ConfigError for the state of another config,
        before anything changes.
        """
        view = _arrays.view(x, "x", ndim=3)
        counts = _arrays.lengths_of(lengths, view.shape[0])
        result, y = output(out, view.shape)
        if y.shape != view.shape:
            raise c.ShapeError(f"out is {list(y.shape)}, must be {list(view.shape)}")
        c.layer_step(self._handle, state._handle, c.Extents(*view.shape), view.address, view.rows(),
                     None if counts is None else counts.ctypes.data, y.address, y.rows())
        return result

    def state(self, batch: int = 1) -> State:
        """A State at position 0 for `batch` sequences."""
        return State(self.config, batch)

    def sources(self, key: Array, value: Array | None = None) -> Sources:
        """Sources for many calls. key: [B, m, key_hidden]. value: [B, m, value_hidden]; None: the key."""
        return Sources(self, key, value)

    def kernel_for(self, batch: int, seq: int) -> Kernel:
        """The aft.Kernel that a call of [batch, seq, hidden] runs. ShapeError if one of them is out of range."""
        return self._kernel_for(batch=batch, seq=seq)


def sources_in(x, key, sources):
    """m: the number of sources of a call."""
    return sources.count if sources is not None else x.shape[1] if key is None else key.shape[1]


def inputs_of(x, key, value, position_bias, bias_scale, lengths, mask, sources=None):
    """aft_layer_inputs, and what keeps their arrays alive."""
    key = None if key is None else _arrays.view(key, "key", ndim=3)
    value = None if value is None else _arrays.view(value, "value", ndim=3)
    B, n, _ = x.shape
    sight, kept = sight_of((B, n, sources_in(x, key, sources)), position_bias, bias_scale, lengths, mask)
    inputs = c.LayerInputs(query=x.tensor())
    if key is not None:
        inputs.key = key.tensor()
    if value is not None:
        inputs.value = value.tensor()
    if sources is not None:
        inputs.sources = sources._handle
    if sight is not None:
        inputs.sight = ctypes.pointer(sight)
    return inputs, (key, value, sources, kept)


def core_inputs_of(query, key, value, targets, position_bias, bias_scale, lengths, mask):
    """aft_core_inputs, (B, n, m), and what keeps the arrays alive."""
    key, value = _arrays.view(key, "key", ndim=3), _arrays.view(value, "value", ndim=3)
    query = None if query is None else _arrays.view(query, "query", ndim=3)
    B, m, _ = key.shape
    n = m if targets is None else c.whole(targets, "targets")
    if query is not None:
        if targets is not None and n != query.shape[1]:
            raise c.ShapeError(f"targets is {n}, must be {query.shape[1]} like those of query")
        n = query.shape[1]
    sight, kept = sight_of((B, n, m), position_bias, bias_scale, lengths, mask)
    inputs = c.CoreInputs(key=key.tensor(), value=value.tensor())
    if query is not None:
        inputs.query = query.tensor()
    if sight is not None:
        inputs.sight = ctypes.pointer(sight)
    return inputs, (B, n, m), (query, key, value, kept)


class Core(_Placed):
    """The weighted mean of a form, without projections: y = gate(Q) sum exp(K + w) V / sum exp(K + w).

    config: a Config, whose hidden isn't read. weights: Weights.for_core(), or a mapping of its arrays; None for forms
    without parameters. The others are those of Layer, but for int8, and so are errors and threads.
    """

    def __init__(self, config: Config, weights: Weights | Mapping[str, Array | None] | None = None, *,
                 kernel: str | None = None, device: str | None = None, storage: str | None = None) -> None:
        if weights is not None and not isinstance(weights, Weights):
            weights = Weights.for_core(config, **weights)
        self._make("core", config, weights, kernel, device, storage)

    def __call__(self, query: Array | None, key: Array, value: Array, *, targets: int | None = None,
                 position_bias: Array | None = None, bias_scale: float | None = None, lengths: Lengths | None = None,
                 mask: Array | None = None, out: Out | None = None) -> Floats | Out:
        """y, [B, n, P] of float32.

        query: [B, n, P]; None for the gate "none", where `targets` is n (None: m). key, value: [B, m, P]; a key of -inf
        hides a source from a channel. The others are those of a Layer's call.
        """
        inputs, (B, n, m), kept = core_inputs_of(query, key, value, targets, position_bias, bias_scale, lengths, mask)
        result, y = output(out, (B, n, self.config.projected))
        c.core_forward(self._handle, inputs, c.Extents(*y.shape), y.address, y.rows())
        del kept
        return result

    def step(self, state: State, query: Array | None, key: Array, value: Array, *, lengths: Lengths | None = None,
             out: Out | None = None) -> Floats | Out:
        """The next n positions of every sequence of a State, as Layer.step()."""
        inputs, (B, n, m), kept = core_inputs_of(query, key, value, None, None, None, lengths, None)
        result, y = output(out, (B, n, self.config.projected))
        c.core_step(self._handle, state._handle, inputs, c.Extents(*y.shape), y.address, y.rows())
        del kept
        return result

    def state(self, batch: int = 1) -> State:
        """A State at position 0 for `batch` sequences."""
        return State(self.config, batch)

    def kernel_for(self, targets: int, sources: int) -> Kernel:
        """The aft.Kernel that a call without a mask runs. ShapeError if one of them is out of range."""
        return self._kernel_for(targets=targets, sources=sources)
