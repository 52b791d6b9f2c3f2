"""Attention-free transformer layers (AFT) as ahead-of-time compiled kernels.

    config = aft.Config("full", hidden=64, projected=32, max_seq_len=128)
    layer = aft.Layer(config, aft.load_weights("model.safetensors", config))
    y = layer(x)  # x: [B, T, 64] of float32, NumPy's or with DLPack

aft.torch has modules for PyTorch. Every function that refuses its arguments raises an aft.Error (TypeError for another
dtype), before anything is written.
"""

from ._config import Config, Weights, config_from_weights, load_weights
from ._layer import Core, Layer, Sources, State
from ._library import (ArgumentError, ConfigError, DeviceError, Error, InternalError, KernelError, ShapeError,
                       WeightsError)
from ._library import version as _version
from ._machine import (Device, Kernel, devices, kernels, load_kernels, set_thread_count, thread_count,
                       use_openmp_threads, use_own_threads)
from ._training import CoreTraining, LayerTraining

__version__ = _version()

__all__ = ["ArgumentError", "Config", "ConfigError", "Core", "CoreTraining", "Device", "DeviceError", "Error",
           "InternalError", "Kernel", "KernelError", "Layer", "LayerTraining", "ShapeError", "Sources", "State",
           "Weights", "WeightsError", "config_from_weights", "devices", "kernels", "load_kernels", "load_weights",
           "set_thread_count", "thread_count", "use_openmp_threads", "use_own_threads"]
