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

/// A device of this machine that this build has kernels for, or the reason why there is none.
struct Device {
    std::string id;            ///< cpu, or `<api>:<number>`: cuda:0, opencl:0, opencl:1
    std::string api;           ///< cpu, cuda, opencl or vulkan: the `api` of its kernels
    std::string name;          ///< the driver's name for it; empty when no device was found
    std::uint64_t memory = 0;  ///< bytes; 0 when unknown
    bool is_gpu = false;       ///< false: the CPU, also behind a driver that runs OpenCL or Vulkan on it
    bool usable = false;       ///< some kernel of this build can run on it
    std::string reason;        ///< why not; empty when it is usable
};

/// Every device, in the order in which layers choose: GPUs by cuda, opencl and vulkan, then the CPU, then drivers that
/// run on the CPU. Layers use the last ones only when they are asked for. An API without a device is listed once and
/// last, with the reason. Vulkan has one device, since a process can use one: the first GPU, or a device of the type
/// that the environment's HL_VK_DEVICE_TYPE names (gpu, integrated-gpu, virtual-gpu, cpu). The first call looks for the
/// devices and loads the drivers; a statically linked program can load none and has the CPU alone. Never fails,
/// whatever is missing or broken. Thread-safe.
AFT_API const std::vector<Device> &devices();

/// A tensor in the memory of a CUDA device. Its data is a device pointer, from cudaMalloc, cuMemAlloc or torch's
/// data_ptr().
template<typename T, std::size_t Rank>
struct DeviceView {
    TensorView<T, Rank> tensor;  ///< extents, strides in elements, and the device pointer
};

/// A CUstream or cudaStream_t. Null is the default stream.
using Stream = void *;

}  // namespace aft
