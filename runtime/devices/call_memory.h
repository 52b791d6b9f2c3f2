#pragma once

#include "halide/buffer.h"
#include "halide/halide_runtime.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>

namespace aft {

class CudaContext;

/// The memory of one call of a layer, and the call of Halide's runtime that its kernels share. On the CPU, all of it is
/// scratch memory of the layer. On a device, tensors get memory there, and travel between it and the host once.
class CallMemory {
public:
    /// The memory of a call until it is released: what the kernels of one step need, for example.
    struct Mark {
        std::size_t tensors, blocks;
    };

    /// For tensors in the host's memory. Without a device, the kernels run on the CPU. Holds the device's turn.
    CallMemory(const DeviceContext *device, ScratchPool &pool);
    /// For tensors in the memory of a CUDA device, and work that is queued on a stream.
    CallMemory(const CudaContext &device, ScratchPool &pool, Stream stream);
    CallMemory(const CallMemory &) = delete;
    CallMemory &operator=(const CallMemory &) = delete;
    ~CallMemory();

    /// The caller's tensor, as kernels read it. A copy on a device is dense.
    Tensor input(const char *name, const Tensor &tensor);
    /// The caller's tensor, as kernels write it. fetch() makes it complete.
    Tensor output(const char *name, const Tensor &tensor);
    /// A tensor on the host, whoever's, as kernels read it.
    Tensor send(const char *name, const Tensor &tensor);
    /// A tensor with one value in all elements, as kernels read it, with the extents and strides of a view without
    /// data. On a stream, nothing is copied, as a copy from the host would wait for the work before it.
    template<typename T, std::size_t Rank>
    Tensor constant(const char *name, T value, const TensorView<const T, Rank> &shape) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &value, sizeof(value));
        return make_constant(name, bits, shape);
    }
    /// A dense float32 tensor between two kernels, where they run.
    template<std::size_t Rank>
    Tensor temporary(const char *name, const std::array<std::int64_t, Rank> &extents) {
        return make_temporary(name, TensorView<float, Rank>(nullptr, extents));
    }
    /// Waits for the kernels that write an output, and copies it to the host.
    void fetch(const Tensor &output);

    /// Waits for all work of the device.
    void wait();

    /// Memory on the host, aligned for every vector.
    template<typename T, std::size_t Rank>
    TensorView<T, Rank> on_host(const char *name, const std::array<std::int64_t, Rank> &extents) {
        const Tensor wanted(TensorView<T, Rank>(nullptr, extents));
        return {static_cast<T *>(allocate(name, wanted)), extents};
    }

    Mark mark() const {
        return {tensors_, blocks_};
    }
    /// Gives back all memory since the mark.
    void release(const Mark &mark);

    /// Whether the kernels run where the host's memory is.
    bool is_on_host() const {
        return !call_.device;
    }
    /// Whether the work is queued on a stream: nobody waits for it.
    bool is_queued() const {
        return cuda_ != nullptr;
    }
    HalideCall &call() {
        return call_;
    }

private:
    /// A tensor on the device.
    struct Resident {
        std::optional<CallBuffer> buffer;  // dense
        Tensor caller;                     // an output
        void *dense = nullptr;             // on the host; null: the caller's memory is dense
        bool is_wrapped = false;
    };
    static constexpr std::size_t max_tensors = 32, max_blocks = 48;

    void *allocate(const char *name, const Tensor &tensor);
    Resident &add(const Tensor &dense);
    Tensor make_constant(const char *name, std::uint32_t bits, const Tensor &tensor);
    Tensor make_temporary(const char *name, const Tensor &tensor);
    Tensor wrapped(const char *name, const Tensor &tensor);
    void check_size(const char *name, const Tensor &tensor) const;

    std::unique_lock<std::mutex> turn_;
    ScratchPool::Call scratch_;
    HalideCall call_;
    const CudaContext *const cuda_ = nullptr;  // of a queued call
    std::array<Resident, max_tensors> residents_;
    std::array<void *, max_blocks> blocks_of_call_{};
    std::size_t tensors_ = 0, blocks_ = 0;
};

/// A tensor that lives on, where the kernels of a layer run.
class KeptTensor {
public:
    /// Copies `values`, dense; null makes zeros. Throws DeviceError.
    KeptTensor(const char *name, const std::vector<std::int64_t> &extents, const float *values,
               const DeviceContext *device);
    KeptTensor(const KeptTensor &) = delete;
    KeptTensor &operator=(const KeptTensor &) = delete;
    ~KeptTensor();

    Tensor tensor() const;

private:
    const DeviceContext *device_;
    Buffer buffer_;
};

}  // namespace aft
