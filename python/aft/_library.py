"""The C interface of the library (<aft/aft_c.h>, <aft/training_c.h>), by ctypes, which releases the GIL in each call.

Structs and functions have the names of C without `aft_`; tests/test_library.py compares them with the headers.
"""

from __future__ import annotations

import ctypes
import operator
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any


class Error(Exception):
    """Anything that the library refuses or can't do. The text is one line that names the value and the limit."""


class ArgumentError(Error, ValueError):
    """An argument that has no meaning: an index out of range, a misspelt name."""


class ShapeError(Error, ValueError):
    """Extents, strides, or an overlap that a call doesn't accept. Nothing was written."""


class ConfigError(Error, ValueError):
    """A config or options that make no sense, a kernel that can't serve the layer, or kernels that can't be loaded."""


class WeightsError(Error, ValueError):
    """Weights that don't fit the config, or a file that can't be read or written."""


class DeviceError(Error, RuntimeError):
    """A device that isn't there, can't be used, or failed."""


class KernelError(Error, RuntimeError):
    """A kernel failed, or had no memory for its scratch. The output is undefined."""


class InternalError(Error, RuntimeError):
    """A bug in the library."""


_ERRORS = (None, ArgumentError, ShapeError, ConfigError, WeightsError, DeviceError, KernelError, MemoryError,
           InternalError)

FORMS = ("full", "simple", "local", "causal_full", "causal_simple", "causal_local", "conv", "wkv", "given",
         "causal_given")
GATES = ("sigmoid", "tanh", "none", "identity")

Extents = c_int64 * 3


def whole(value, name, bits=64):
    """A whole number of any type, which C's signed integer of `bits` holds: ctypes would cut it off."""
    number = operator.index(value)
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise ArgumentError(f"{name} is {number}, must be a number of {bits} bits")
    return number


def text(value, name):
    """A str or a path as bytes that end with a null character; None stays."""
    if value is None:
        return None
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ArgumentError(f"{name} is {value!r}, must have no null character")
    return encoded


class _Sized(ctypes.Structure):
    """A struct that begins with its size."""

    def __init__(self, **members):
        super().__init__(struct_size=ctypes.sizeof(self), **members)


class Config(_Sized):
    _fields_ = [("struct_size", c_uint64), ("kind", c_int32), ("hidden", c_int64), ("projected", c_int64),
                ("max_seq_len", c_int64), ("window", c_int64), ("gate", c_int64), ("key_hidden", c_int64),
                ("value_hidden", c_int64), ("heads", c_int64)]


class Range(ctypes.Structure):
    _fields_ = [("from_", c_int64), ("to", c_int64)]


class KernelInfo(ctypes.Structure):
    _fields_ = [("id", c_char_p), ("layer", c_int32), ("usable", c_int32), ("reason", c_char_p), ("device", c_char_p),
                ("schedule", c_char_p), ("target", c_char_p), ("storage", c_char_p), ("max_bias_range", c_double),
                ("minimum_batch", c_int64), ("minimum_seq", c_int64), ("minimum_hidden", c_int64),
                ("minimum_projected", c_int64), ("minimum_window", c_int64), ("preferred_seq", Range),
                ("preferred_hidden", Range), ("preferred_projected", Range), ("preferred_window", Range),
                ("operation", c_char_p), ("algorithm", c_char_p)]


class DeviceInfo(ctypes.Structure):
    _fields_ = [("id", c_char_p), ("api", c_char_p), ("name", c_char_p), ("memory", c_uint64), ("is_gpu", c_int32),
                ("usable", c_int32), ("reason", c_char_p)]


class Parameters(_Sized):
    _fields_ = [("struct_size", c_uint64), ("query_weight", c_void_p), ("query_bias", c_void_p),
                ("key_weight", c_void_p), ("key_bias", c_void_p), ("value_weight", c_void_p),
                ("value_bias", c_void_p), ("project_weight", c_void_p), ("project_bias", c_void_p),
                ("position_bias", c_void_p), ("decay", c_void_p), ("bonus", c_void_p)]


class LoadOptions(_Sized):
    _fields_ = [("struct_size", c_uint64), ("prefix", c_char_p), ("naming", c_char_p), ("names", POINTER(c_char_p)),
                ("gate", POINTER(c_int64))]


class LayerOptions(_Sized):
    _fields_ = [("struct_size", c_uint64), ("kernel", c_char_p), ("device", c_char_p), ("storage", c_char_p)]


class Tensor(ctypes.Structure):
    """aft_tensor, aft_mask and aft_gradient, which have the same layout."""

    _fields_ = [("data", c_void_p), ("extents", Extents), ("strides", POINTER(c_int64))]


class Sight(_Sized):
    _fields_ = [("struct_size", c_uint64), ("position_bias", Tensor), ("bias_scale", POINTER(c_float)),
                ("lengths", c_void_p), ("mask", Tensor)]


class LayerInputs(_Sized):
    _fields_ = [("struct_size", c_uint64), ("query", Tensor), ("key", Tensor), ("value", Tensor),
                ("sources", c_void_p), ("sight", POINTER(Sight))]


class CoreInputs(_Sized):
    _fields_ = [("struct_size", c_uint64), ("query", Tensor), ("key", Tensor), ("value", Tensor),
                ("sight", POINTER(Sight))]


class CoreParameters(_Sized):
    _fields_ = [("struct_size", c_uint64), ("position_bias", c_void_p)]


class CoreGradients(_Sized):
    _fields_ = [("struct_size", c_uint64), ("query", Tensor), ("key", Tensor), ("value", Tensor),
                ("given_bias", Tensor), ("position_bias", c_void_p)]


class LayerGradients(_Sized):
    _fields_ = [("struct_size", c_uint64), ("query", Tensor), ("key", Tensor), ("value", Tensor),
                ("query_weight", c_void_p), ("query_bias", c_void_p), ("key_weight", c_void_p),
                ("key_bias", c_void_p), ("value_weight", c_void_p), ("value_bias", c_void_p),
                ("project_weight", c_void_p), ("project_bias", c_void_p), ("given_bias", Tensor),
                ("position_bias", c_void_p)]


_handle = c_void_p
_new_handle = POINTER(c_void_p)
_count = POINTER(c_int64)
_bytes = POINTER(c_uint64)
_rows = POINTER(c_int64)  # extents or strides
_loop = c_void_p

#: The arguments of each function that returns a status.
FUNCTIONS = {
    "kernel_count": (_count,),
    "kernel_at": (c_int64, POINTER(POINTER(KernelInfo))),
    "load_kernels": (c_char_p,),
    "device_count": (_count,),
    "device_at": (c_int64, POINTER(POINTER(DeviceInfo))),
    "set_thread_count": (c_int32,),
    "thread_count": (POINTER(c_int32),),
    "set_parallel_for": (_loop, c_void_p),
    "weights_copy": (POINTER(Config), POINTER(Parameters), _new_handle),
    "weights_copy_core": (POINTER(Config), POINTER(Parameters), _new_handle),
    "weights_load": (c_char_p, POINTER(Config), POINTER(LoadOptions), _new_handle),
    "config_from_weights": (c_char_p, POINTER(LoadOptions), POINTER(Config)),
    "state_create": (POINTER(Config), c_int64, _new_handle),
    "state_copy": (_handle, _new_handle),
    "state_copy_sample": (_handle, c_int64, _handle, c_int64),
    "state_reset": (_handle, c_int64),
    "state_batch": (_handle, _count),
    "state_position": (_handle, c_int64, _count),
    "state_save": (_handle, c_char_p),
    "state_load": (c_char_p, POINTER(Config), _new_handle),
    "layer_create": (POINTER(Config), _handle, POINTER(LayerOptions), _new_handle),
    "layer_forward": (_handle, _rows, c_void_p, _rows, c_void_p, _rows),
    "layer_call": (_handle, POINTER(LayerInputs), _rows, c_void_p, _rows),
    "layer_step": (_handle, _handle, _rows, c_void_p, _rows, c_void_p, c_void_p, _rows),
    "sources_create": (_handle, POINTER(Tensor), POINTER(Tensor), _new_handle),
    "layer_forward_cuda": (_handle, _rows, c_void_p, _rows, c_void_p, _rows, c_void_p),
    "layer_synchronize": (_handle,),
    "layer_device": (_handle, POINTER(POINTER(DeviceInfo))),
    "layer_kernel_for": (_handle, c_int64, c_int64, POINTER(POINTER(KernelInfo))),
    "layer_config": (_handle, POINTER(Config)),
    "layer_scratch_bytes": (_handle, _bytes),
    "core_create": (POINTER(Config), _handle, POINTER(LayerOptions), _new_handle),
    "core_forward": (_handle, POINTER(CoreInputs), _rows, c_void_p, _rows),
    "core_step": (_handle, _handle, POINTER(CoreInputs), _rows, c_void_p, _rows),
    "core_device": (_handle, POINTER(POINTER(DeviceInfo))),
    "core_kernel_for": (_handle, c_int64, c_int64, POINTER(POINTER(KernelInfo))),
    "core_config": (_handle, POINTER(Config)),
    "core_scratch_bytes": (_handle, _bytes),
    "core_training_create": (POINTER(Config), POINTER(LayerOptions), _new_handle),
    "core_training_saved_size": (_handle, c_int64, c_int64, POINTER(Sight), _count),
    "core_training_forward": (_handle, POINTER(CoreParameters), POINTER(CoreInputs), _rows, c_void_p, _rows, c_void_p),
    "core_training_partial": (_handle, POINTER(CoreParameters), POINTER(CoreInputs), _rows, c_void_p, _rows, c_void_p,
                              _rows),
    "core_training_backward": (_handle, POINTER(CoreParameters), POINTER(CoreInputs), _rows, c_void_p, _rows, c_void_p,
                               POINTER(CoreGradients)),
    "core_training_config": (_handle, POINTER(Config)),
    "core_training_scratch_bytes": (_handle, _bytes),
    "layer_training_create": (POINTER(Config), POINTER(LayerOptions), _new_handle),
    "layer_training_saved_size": (_handle, POINTER(LayerInputs), _rows, _count),
    "layer_training_forward": (_handle, POINTER(Parameters), POINTER(LayerInputs), _rows, c_void_p, _rows, c_void_p),
    "layer_training_backward": (_handle, POINTER(Parameters), POINTER(LayerInputs), _rows, c_void_p, _rows, c_void_p,
                                POINTER(LayerGradients)),
    "layer_training_config": (_handle, POINTER(Config)),
    "layer_training_scratch_bytes": (_handle, _bytes),
}
#: Functions that destroy an object.
DESTROYERS = ("weights", "state", "layer", "sources", "core", "core_training", "layer_training")


# AFT_LIBRARY names a build of the program's own, with its own kernels.
_path = pathlib.Path(os.environ.get("AFT_LIBRARY") or pathlib.Path(__file__).parent / "libaft.so").absolute()
#: The folder of the library and the tool.
FOLDER = _path.parent


def _open():
    try:
        opened = ctypes.CDLL(os.fspath(_path))
    except OSError as error:
        raise ImportError(f"aft: its library can't be loaded: {error}") from None
    opened.aft_version.restype = c_char_p
    opened.aft_last_error.restype = c_char_p
    return opened


_opened = _open()
last_error = _opened.aft_last_error


def _check(status):
    """The result type of functions: an exception unless the call succeeded."""
    if status:
        raise _ERRORS[status](last_error().decode(errors="replace"))


def _function(name, arguments, result):
    function = getattr(_opened, f"aft_{name}")
    function.argtypes, function.restype = arguments, result
    return function


def version() -> str:
    """The version of the library, "major.minor.patch"."""
    return _opened.aft_version().decode()


if TYPE_CHECKING:
    def __getattr__(name: str) -> Any:
        """The functions of the loops below."""

for _name, _arguments in FUNCTIONS.items():
    globals()[_name] = _function(_name, _arguments, _check)
for _name in DESTROYERS:
    globals()[f"{_name}_destroy"] = _function(f"{_name}_destroy", (c_void_p,), None)
