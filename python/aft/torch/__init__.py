"""AFT layers for PyTorch, with gradients: modules with the names, parameters and initial values of aft-pytorch.

    import aft.torch

    layer = aft.torch.AFTFull(max_seqlen=20, dim=512, hidden_dim=64)
    y = layer(torch.rand(32, 10, 512))  # [32, 10, 512]

In float32 on the CPU, the library's kernels compute results and gradients, on PyTorch's own threads. Everything else
(other dtypes and devices, second derivatives, vmap, forward mode) is computed by PyTorch's operators.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("aft.torch needs PyTorch: pip install torch") from error

from .. import use_openmp_threads as _use_openmp_threads
from ._modules import AFTFull, AFTLocal, AFTSimple, mean
from ._operators import scratch_bytes
from ._sharding import sequence_parallel

_use_openmp_threads()  # a second pool of threads would compete with PyTorch's, which wait for work

__all__ = ["AFTFull", "AFTLocal", "AFTSimple", "mean", "scratch_bytes", "sequence_parallel"]
