"""Arrays of callers as pointers: NumPy's, and all that have DLPack (PyTorch, JAX, CuPy, ...), without a copy."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol, TypeVar

import numpy as np

from . import _library as c


class Array(Protocol):
    """An array of NumPy, or of another library that has DLPack."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


#: The type of an array that a result is written to.
Out = TypeVar("Out", bound=Array)

CPU, CUDA, _CUDA_HOST = 1, 2, 3  # of DLDeviceType
_READ_ONLY, _IS_COPIED = 1, 2  # of DLManagedTensorVersioned.flags
_SIZES = {"float32": 4, "bool": 1}
_DLPACK_NAMES = {(2, 32): "float32", (6, 8): "bool"}  # by DLDataType's code and bits


class _DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("manager", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _DLTensor)]


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_is_capsule = ctypes.pythonapi.PyCapsule_IsValid
_is_capsule.restype, _is_capsule.argtypes = ctypes.c_int, (ctypes.py_object, ctypes.c_char_p)


def _without_gaps(shape):
    """The strides of a row-major array, in elements."""
    strides, size = [], 1
    for extent in reversed(shape):
        strides.append(size)
        size *= extent
    return tuple(reversed(strides))


class View:
    """An array in memory: its address, shape, and strides in elements, None if it is row-major without gaps.

    It keeps the array alive.
    """

    __slots__ = ("address", "device", "owner", "shape", "strides")

    def __init__(self, address, shape, strides, owner, device=CPU):
        self.address, self.shape, self.strides, self.owner, self.device = address, shape, strides, owner, device

    def rows(self):
        """The strides for C."""
        return None if self.strides is None else c.Extents(*self.strides)

    def tensor(self):
        """The struct of C."""
        return c.Tensor(self.address, c.Extents(*self.shape), self.rows())

    def broadcast(self, shape, name):
        """This array as one of `shape`, by NumPy's rules: a stride of 0 where it has one row for all."""
        missing = len(shape) - len(self.shape)
        if missing < 0 or any(mine not in (1, other) for mine, other in zip(self.shape, shape[missing:])):
            raise c.ShapeError(f"{name} is {list(self.shape)}, must broadcast to {list(shape)}")
        own = _without_gaps(self.shape) if self.strides is None else self.strides
        strides = tuple(stride if mine == other else 0 for mine, other, stride in zip(self.shape, shape[missing:], own))
        return View(self.address, tuple(shape), (0,) * missing + strides, self.owner, self.device)


def _dtype_error(name, dtype, has):
    return TypeError(f"{name} has the dtype {has}, must be {dtype}")


def _address_of(array):
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # takes a third of the time of array.ctypes.data
    except (TypeError, ValueError):  # the array is read-only, has gaps, or is empty
        return array.ctypes.data


def _of_numpy(array, name, dtype, writable):
    if array.dtype != dtype:
        raise _dtype_error(name, dtype, array.dtype)
    flags = array.flags
    if writable and not flags.writeable:
        raise ValueError(f"{name} is read-only")
    if flags.c_contiguous:
        return View(_address_of(array), array.shape, None, array)
    size = array.itemsize
    if any(stride % size for stride in array.strides):
        raise c.ShapeError(f"{name} has strides of {list(array.strides)} bytes, must be whole elements of {size}")
    return View(array.ctypes.data, array.shape, tuple(stride // size for stride in array.strides), array)


def _of_dlpack(array, name, dtype, writable, stream):
    try:
        capsule = array.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:  # older than version 1
        capsule = array.__dlpack__(stream=stream)
    # The capsule stays its own: its destructor releases the array.
    if _is_capsule(capsule, b"dltensor_versioned"):
        managed = _Versioned.from_address(_pointer_of(capsule, b"dltensor_versioned"))
        if writable and managed.flags & (_READ_ONLY | _IS_COPIED):
            raise ValueError(f"{name} is read-only")
        tensor = managed.tensor
    elif writable:  # JAX's arrays, for one, must not change
        raise ValueError(f"{name} has an old DLPack, which can't tell whether it is read-only")
    else:
        tensor = _DLTensor.from_address(_pointer_of(capsule, b"dltensor"))
    has = _DLPACK_NAMES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if has != dtype:
        raise _dtype_error(name, dtype, getattr(array, "dtype", "of another kind"))
    if tensor.device_type not in (CPU, CUDA, _CUDA_HOST):
        raise c.DeviceError(f"{name} is on a device of DLPack's type {tensor.device_type}, must be on the CPU or CUDA")
    shape = tuple(tensor.shape[:tensor.ndim])
    strides = tuple(tensor.strides[:tensor.ndim]) if tensor.strides else None
    if strides == _without_gaps(shape):
        strides = None
    device = CUDA if tensor.device_type == CUDA else CPU
    return View((tensor.data or 0) + tensor.byte_offset, shape, strides, (array, capsule), device)


def view(array, name, *, dtype="float32", ndim=None, writable=False, on=CPU, stream=None):
    """The View of an array, which isn't copied or converted. TypeError, ValueError, ShapeError, DeviceError."""
    if isinstance(array, np.ndarray):
        result = _of_numpy(array, name, dtype, writable)
    elif hasattr(array, "__dlpack__"):
        result = _of_dlpack(array, name, dtype, writable, stream)
    else:
        raise TypeError(f"{name} is a {type(array).__name__}, must be a NumPy array or have __dlpack__")
    if ndim is not None and len(result.shape) != ndim:
        raise c.ShapeError(f"{name} is {list(result.shape)}, must have {ndim} dimensions")
    if result.device != on:
        where = {CPU: "in the host's memory", CUDA: "in the memory of a CUDA device"}
        raise c.DeviceError(f"{name} is {where[result.device]}, must be {where[on]}")
    if result.address % _SIZES[dtype]:
        raise c.ShapeError(f"{name} is at an address that isn't a multiple of {_SIZES[dtype]}")
    return result


def is_on_cuda(array):
    """Whether the array lies in the memory of a CUDA device."""
    return not isinstance(array, np.ndarray) and hasattr(array, "__dlpack_device__") \
        and array.__dlpack_device__()[0] == CUDA


def without_gaps(array, name, shape):
    """The View of a parameter of `shape`, row-major without gaps: a copy where it has gaps."""
    result = view(array, name)
    if result.shape != tuple(shape):
        raise c.ShapeError(f"{name} is {list(result.shape)}, must be {list(shape)}")
    if result.strides is None:
        return result
    return view(np.ascontiguousarray(array if isinstance(array, np.ndarray) else np.from_dlpack(array)), name)


def new(shape):
    """A new array of float32, [..], and its View."""
    array = np.empty(shape, np.float32)
    return array, View(_address_of(array), array.shape, None, array)


def lengths_of(lengths, batch):
    """Lengths as [batch] of int64, or None."""
    if lengths is None:
        return None
    result = np.asarray(lengths)
    if result.shape != (batch,) or batch > 0 and result.dtype.kind not in "iu":
        raise c.ShapeError(f"lengths are {list(result.shape)} of {result.dtype}, must be [{batch}] of whole numbers")
    return np.ascontiguousarray(result, np.int64)
