"""Configs and weights of layers."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import weakref
from collections.abc import Mapping
from typing import Any

from . import _arrays
from . import _library as c

#: The parameters of a layer, as in aft_parameters.
PARAMETERS = tuple(field[0] for field in c.Parameters._fields_[1:])
_OF_CORES = ("position_bias", "decay", "bonus")


def _index(value, names, what):
    try:
        return names.index(value)
    except ValueError:
        raise c.ConfigError(f"{what} is {value!r}, must be one of {', '.join(names)}") from None


@dataclasses.dataclass(frozen=True)
class Config:
    """The form and the sizes of a layer. Its weights aren't part of it.

    form: "full", "simple", "local", "causal_full", "causal_simple", "causal_local", "conv", "wkv", "given" or
        "causal_given" (docs/forms.md).
    hidden: H, channels of input and output. A Core doesn't read it.
    projected: P, channels of query, key and value.
    max_seq_len: S, the longest sequence. A position bias is [S, S].
    window: s, of forms with a window: the bias holds where |t - t'| < s.
    gate: "sigmoid", "tanh", "none" or "identity".
    key_hidden, value_hidden: channels of the key and the value input. 0 means hidden, and key_hidden.
    heads: of AFT-conv, of neighbouring channels. 0 means 1.

    ConfigError for a form or gate that doesn't exist; the sizes are checked by what is made with the config.
    Immutable.
    """

    form: str
    hidden: int
    projected: int
    max_seq_len: int = 1
    window: int = 0
    gate: str = "sigmoid"
    key_hidden: int = 0
    value_hidden: int = 0
    heads: int = 1

    def __post_init__(self) -> None:
        _index(self.form, c.FORMS, "form")
        _index(self.gate, c.GATES, "gate")
        for size in ("hidden", "projected", "max_seq_len", "window", "key_hidden", "value_hidden", "heads"):
            object.__setattr__(self, size, c.whole(getattr(self, size), size))

    def _struct(self):
        return c.Config(kind=c.FORMS.index(self.form), hidden=self.hidden, projected=self.projected,
                        max_seq_len=self.max_seq_len, window=self.window, gate=c.GATES.index(self.gate),
                        key_hidden=self.key_hidden, value_hidden=self.value_hidden, heads=self.heads)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter that a layer of this config can have, by its name."""
        H, P, S = self.hidden, self.projected, self.max_seq_len
        key = self.key_hidden or H
        value = self.value_hidden or key
        result: dict[str, tuple[int, ...]] = {
            "query_weight": (P, H), "query_bias": (P,), "key_weight": (P, key), "key_bias": (P,),
            "value_weight": (P, value), "value_bias": (P,), "project_weight": (H, P), "project_bias": (H,)}
        if self.gate == "none":
            del result["query_weight"], result["query_bias"]
        if self.form == "conv":
            result["position_bias"] = (self.heads or 1, self.window)
        elif self.form in ("full", "local", "causal_full", "causal_local"):
            result["position_bias"] = (S, S)
        elif self.form == "wkv":
            result.update(decay=(P,), bonus=(P,))
        return result


def parameters_of(config, parameters, of="layer"):
    """aft_parameters of a mapping of arrays of a layer or a core, and what keeps them alive."""
    shapes, struct, kept = config.shapes(), c.Parameters(), []
    if of == "core":
        shapes = {name: shape for name, shape in shapes.items() if name in _OF_CORES}
    for name, array in parameters.items():
        if array is None:
            continue
        if name not in shapes:
            raise c.WeightsError(f"a {of} of the form {config.form} with the gate {config.gate} has no parameter "
                                 f"{name!r}: its parameters are {', '.join(shapes) or 'none'}")
        view = _arrays.without_gaps(array, name, shapes[name])
        setattr(struct, name, view.address)
        kept.append(view)
    return struct, kept


class Object:
    """An object of the library, which is destroyed with it, and before `kept`."""

    def __init__(self, handle, destroy, kept=None):
        self._handle = handle.value
        finalizer = weakref.finalize(self, _destroy, destroy, self._handle, kept)
        finalizer.atexit = False  # other threads may still be in calls

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} can't be pickled")


def _destroy(destroy, handle, kept):
    destroy(handle)


class Weights(Object):
    """The parameters of a layer, copied. A change of the arrays doesn't change them.

    parameters: arrays of float32 with the shapes of `config.shapes()`, named query_weight and so on. A projection
        without a bias has none. Without project_weight, and with H = P, the layer has no output projection.

    ShapeError for another shape; ArgumentError for a parameter that is missing; WeightsError for one that the form
    doesn't have or that isn't finite. Thread-safe.
    """

    config: Config

    def __init__(self, config: Config, **parameters: _arrays.Array | None) -> None:
        struct, kept = parameters_of(config, parameters)
        self._make(config, c.weights_copy, config._struct(), struct)
        del kept

    def _make(self, config, function, *arguments):
        handle = ctypes.c_void_p()
        function(*arguments, handle)
        super().__init__(handle, c.weights_destroy)
        self.config = config

    @classmethod
    def for_core(cls, config: Config, **parameters: _arrays.Array | None) -> Weights:
        """Those of a Core: position_bias, or decay and bonus, where its form has them. The errors are the same."""
        made = cls.__new__(cls)
        struct, kept = parameters_of(config, parameters, of="core")
        made._make(config, c.weights_copy_core, config._struct(), struct)
        del kept
        return made


def _load_options(prefix, naming, names, gate):
    options = c.LoadOptions(prefix=c.text(prefix, "prefix"), naming=c.text(naming, "naming"))
    if names:
        pairs = [c.text(f"{parameter}={name}", "names") for parameter, name in names.items()]
        options.names = (ctypes.c_char_p * (len(pairs) + 1))(*pairs, None)
    if gate is not None:
        options.gate = ctypes.pointer(ctypes.c_int64(_index(gate, c.GATES, "gate")))
    return options


def load_weights(path: str | os.PathLike[str], config: Config, *, prefix: str | None = None, naming: str | None = None,
                 names: Mapping[str, str] | None = None, gate: str | None = None) -> Weights:
    """The Weights of one layer of a safetensors file, or of shards by their index (docs/weights.md).

    prefix: the start of the layer's tensor names; "" is a layer without one. None: the file has one layer.
    naming: "aft-pytorch", "labml-nn", "featurebooster", "liftfeat", "external-attention" or "rwkv-4". None: the names
        in the file decide.
    names: names of tensors that replace those of the naming, by parameter: {"query": "w_q"}. "" means that the file
        has no such tensor.
    gate: the gate of the layer, instead of the gate of the network that has these names.

    WeightsError, whose text lists all that is wrong with the file; ConfigError. Thread-safe.
    """
    made = Weights.__new__(Weights)
    options = _load_options(prefix, naming, names, gate)
    made._make(config, c.weights_load, c.text(path, "path"), config._struct(), options)
    return made


def config_from_weights(path: str | os.PathLike[str], form: str, *, window: int = 0, max_seq_len: int = 0,
                        prefix: str | None = None, naming: str | None = None, names: Mapping[str, str] | None = None,
                        gate: str | None = None) -> Config:
    """The Config of a layer in a file, which says its sizes and, by its names, its gate.

    form: of the layer. window, max_seq_len: for what the file doesn't say. The others are those of load_weights(), and
        so are the errors.
    """
    struct = c.Config(kind=_index(form, c.FORMS, "form"), window=c.whole(window, "window"),
                      max_seq_len=c.whole(max_seq_len, "max_seq_len"))
    c.config_from_weights(c.text(path, "path"), _load_options(prefix, naming, names, gate), struct)
    return config_of(struct)


def config_of(struct):
    """The Config of aft_config."""
    return Config(c.FORMS[struct.kind], struct.hidden, struct.projected, struct.max_seq_len, struct.window,
                  c.GATES[struct.gate], struct.key_hidden, struct.value_hidden, struct.heads)
