"""The kernels of this build, the devices of this machine, and the threads."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re

from . import _library as c


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of this process: an operation of one form of layer, by one algorithm, scheduled one way for one target.

    The members are those of aft_kernel_info. form: None if it serves every form. A range is (least, most).
    """

    id: str
    form: str | None
    usable: bool
    reason: str
    device: str
    schedule: str
    target: str
    storage: str
    operation: str
    algorithm: str
    max_bias_range: float
    minimum_batch: int
    minimum_seq: int
    minimum_hidden: int
    minimum_projected: int
    minimum_window: int
    preferred_seq: tuple[int, int]
    preferred_hidden: tuple[int, int]
    preferred_projected: tuple[int, int]
    preferred_window: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Device:
    """A device of this machine, or an API without one, and then the reason. memory is in bytes, 0 if unknown."""

    id: str
    api: str
    name: str
    memory: int
    is_gpu: bool
    usable: bool
    reason: str


def _members(info, cls, **others):
    result = dict(others)
    for field in dataclasses.fields(cls):
        if field.name not in result:
            value = getattr(info, field.name)
            if isinstance(value, c.Range):
                value = (value.from_, value.to)
            elif isinstance(value, bytes):
                value = value.decode()
            elif field.type == "bool":
                value = bool(value)
            result[field.name] = value
    return cls(**result)


def kernel_of(info):
    """The Kernel of aft_kernel_info."""
    return _members(info, Kernel, form=c.FORMS[info.layer] if info.layer >= 0 else None)


def device_of(info):
    """The Device of aft_device_info."""
    return _members(info, Device)


def _all(count_of, at, info, convert):
    count, each = ctypes.c_int64(), ctypes.POINTER(info)()
    count_of(count)
    result = []
    for i in range(count.value):
        at(i, each)
        result.append(convert(each.contents))
    return result


def kernels() -> list[Kernel]:
    """Every Kernel that was loaded or is in this build, in order of preference within a form and a device. Thread-safe."""
    return _all(c.kernel_count, c.kernel_at, c.KernelInfo, kernel_of)


def load_kernels(path: str | os.PathLike[str]) -> None:
    """Loads the kernels that `aft tune` found: its file of wisdom, with the shared objects beside it.

    Layers that are made later prefer them around the shapes that they were tuned for. kernels() has those that this
    process can't use, with the reason. The shared objects are programs: load only files that you made or trust. A
    ConfigError if a file is refused. The environment's AFT_WISDOM names a file that is loaded without this call.
    """
    c.load_kernels(os.fsencode(path))


def devices() -> list[Device]:
    """Every Device of this machine, in the order of automatic choice. The first call finds them. Thread-safe."""
    return _all(c.device_count, c.device_at, c.DeviceInfo, device_of)


def set_thread_count(threads: int) -> None:
    """Sets the number of threads that kernels run on in this process, 1 to 256, else a ConfigError.

    Must not run during a call.
    """
    c.set_thread_count(c.whole(threads, "threads", bits=32))


def thread_count() -> int:
    """The number of threads that kernels run on, with the caller's."""
    threads = ctypes.c_int32()
    c.thread_count(threads)
    return threads.value


class _OpenMP(ctypes.Structure):
    """The context of aft_openmp_for()."""

    _fields_ = [("parallel", ctypes.c_void_p), ("max_threads", ctypes.c_void_p)]


_lent = None  # lives as long as kernels run on it


def _loaded_openmp():
    """The path of an OpenMP library that this process has loaded, or None, also where Linux's list can't be read."""
    try:
        with open("/proc/self/maps", errors="surrogateescape") as maps:
            return min(re.findall(r"/.*/lib(?:gomp|iomp5|omp)\b.*", maps.read()), default=None)
    except OSError:
        return None


def _address_of(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def use_openmp_threads() -> bool:
    """Runs the loops of kernels on the threads of the OpenMP library that the process has loaded, such as PyTorch's.

    Their number is that library's, omp_get_max_threads() of the calling thread; torch.set_num_threads() sets it. After
    fork(), the child's kernels run on threads of their own. Returns whether such a library is loaded. Must not run
    during a call. `import aft.torch` does it.
    """
    global _lent
    path = _loaded_openmp()
    if path is None:
        return False
    loaded = ctypes.CDLL(path)
    loops = ctypes.CDLL(os.fspath(c.FOLDER / "libaft_openmp.so"))
    lent = _OpenMP(_address_of(loaded.GOMP_parallel), _address_of(loaded.omp_get_max_threads))
    c.set_parallel_for(_address_of(loops.aft_openmp_for), ctypes.byref(lent))
    if _lent is None:
        os.register_at_fork(after_in_child=lambda: c.set_parallel_for(None, None))
    _lent = lent
    return True


def use_own_threads() -> None:
    """Runs the loops of kernels on threads of the library, as before use_openmp_threads().

    Must not run during a call.
    """
    c.set_parallel_for(None, None)
