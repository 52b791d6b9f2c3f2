#pragma once

/// @file
/// The devices of this machine, and tensors in their memory.

#include <aft/export.h>
#include <aft/standard_library.h>
#include <aft/tensor_view.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace aft {

/// A device of this machine that this build has kernels for. Without such a device, the reason.
struct Device {
    std::string id;            ///< cpu, or `<api>:<number>`: cuda:0, opencl:0, opencl:1
    std::string api;           ///< cpu, cuda, opencl or vulkan: that of its kernels
    std::string name;          ///< its name in its driver; empty if no device was found
    std::uint64_t memory = 0;  ///< bytes; 0 if unknown
    bool is_gpu = false;       ///< false for the CPU, and for drivers that run OpenCL or Vulkan on the CPU
    bool usable = false;       ///< whether some kernel of this build can run on it
    std::string reason;        ///< why it isn't usable; empty if it is
};

/// Every device, in the order of automatic choice: GPUs (cuda, opencl, vulkan), then the CPU, then drivers that run on
/// the CPU. A layer uses such a driver only if LayerOptions or the environment names it. An API without a device has
/// one entry at the end, with the reason. A process can use one Vulkan device: the first GPU, or the first device of
/// the type in the environment's HL_VK_DEVICE_TYPE (gpu, integrated-gpu, virtual-gpu, cpu).
///
/// The first call loads the drivers and finds the devices; later calls return the same list. A statically linked
/// program can't load drivers, so it has the CPU only. Never fails, even if a driver is missing or broken. Thread-safe.
AFT_API const std::vector<Device> &devices();

/// A tensor in the memory of a CUDA device. Its data is a device pointer (from cudaMalloc, cuMemAlloc or torch's
/// data_ptr()).
template<typename T, std::size_t Rank>
struct DeviceView {
    TensorView<T, Rank> tensor;  ///< extents, strides in elements, and the device pointer
};

/// A CUstream or cudaStream_t. Null is the default stream.
using Stream = void *;

}  // namespace aft
