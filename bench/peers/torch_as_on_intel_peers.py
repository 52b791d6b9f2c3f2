"""torch_peers with MKL made to take this CPU for one of Intel: compare.py preloads mkl_as_on_intel.cpp."""

import ctypes
from pathlib import Path

import torch
import torch_peers
from torch_peers import array, make, peak_bytes  # noqa: F401: what worker.py wants

MKL_CBWR_AUTO = 2  # the branch that MKL has for CPUs of other makers; those for Intel's are above


def prepare(threads):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        if "GenuineIntel" in file.read():
            raise NotImplementedError("the CPU is one of Intel: the same as PyTorch")
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib/libtorch_cpu.so"))
    if not library.mkl_serv_cbwr_get_auto_branch() > MKL_CBWR_AUTO:
        raise NotImplementedError("MKL in this PyTorch doesn't take the CPU for one of Intel")
    torch_peers.prepare(threads)
