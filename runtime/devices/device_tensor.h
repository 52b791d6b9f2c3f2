#pragma once

#include "halide/buffer.h"
#include "halide/halide_runtime.h"

#include <aft/error.h>

namespace aft {

/// x or y of a call, in the host's memory, on its way to a device or from it. What crosses is dense, in one piece: a
/// tensor with gaps goes by a copy without them, so that nothing between its rows is touched.
template<typename T>
class DeviceTensor {
public:
    DeviceTensor(const TensorView<T, 3> &tensor, HalideCall &call, ScratchPool::Call &scratch)
        : tensor_(tensor), call_(call), scratch_(scratch), dense_(is_dense(tensor) ? nullptr : allocate()),
          buffer_(TensorView<T, 3>(dense_ ? dense_ : tensor.data, tensor.extents)) {}
    DeviceTensor(const DeviceTensor &) = delete;
    DeviceTensor &operator=(const DeviceTensor &) = delete;
    ~DeviceTensor() {
        halide_device_free(&call_, &buffer_.header);
        ScratchPool::release(&scratch_, dense_);
    }

    halide_buffer_t *buffer() {
        return &buffer_.header;
    }
    /// Makes the values ready for a kernel, which has them copied to its device.
    void send() {
        if (dense_) {
            for_each_row([&](float *dense, const float *row) { std::copy_n(row, tensor_.extents[2], dense); });
        }
        buffer_.header.set_host_dirty();
    }
    /// Copies what a kernel gave; waits for it.
    void fetch(const char *id) {
        call_.check(id, halide_copy_to_host(&call_, &buffer_.header));
        call_.check(id, halide_device_sync(&call_, &buffer_.header));  // copies to pinned memory are queued
        if (dense_) {
            for_each_row([&](const float *dense, T *row) { std::copy_n(dense, tensor_.extents[2], row); });
        }
    }

private:
    using Value = std::remove_const_t<T>;

    static bool is_dense(const TensorView<T, 3> &tensor) {
        const TensorView<T, 3> dense(tensor.data, tensor.extents);
        for (int i = 0; i < 3; i++) {
            if (tensor.extents[i] > 1 && tensor.strides[i] != dense.strides[i]) {
                return false;
            }
        }
        return true;
    }
    Value *allocate() {
        const auto [batch, seq, hidden] = tensor_.extents;
        void *memory = ScratchPool::allocate(&scratch_, batch * seq * hidden * sizeof(T));
        if (!memory) {
            throw DeviceError(call_.device->device.id + ": no memory for a copy of x or y on the host");
        }
        return static_cast<Value *>(memory);
    }
    template<typename Visit>
    void for_each_row(Visit visit) {
        const auto [batch, seq, hidden] = tensor_.extents;
        for (std::int64_t b = 0; b < batch; b++) {
            for (std::int64_t t = 0; t < seq; t++) {
                visit(dense_ + (b * seq + t) * hidden, tensor_.data + b * tensor_.strides[0] + t * tensor_.strides[1]);
            }
        }
    }

    const TensorView<T, 3> tensor_;
    HalideCall &call_;
    ScratchPool::Call &scratch_;
    Value *dense_;  // null: the tensor is
    CallBuffer<T> buffer_;
};

}  // namespace aft
