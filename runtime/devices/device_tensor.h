#pragma once

#include "halide/buffer.h"
#include "halide/halide_runtime.h"

#include <aft/error.h>

#include <algorithm>
#include <string>

namespace aft {

/// An operand of a call, in the host's memory, that is copied to a device or from it. The copy is dense: a tensor with
/// gaps goes through a second one on the host, so that nothing between its rows is touched.
class DeviceTensor {
public:
    DeviceTensor(const Operand &operand, HalideCall &call, ScratchPool::Call &scratch)
        : operand_(operand), call_(call), scratch_(scratch), dense_(is_dense() ? nullptr : allocate()),
          buffer_(dense_ ? dense_form(dense_) : operand) {}
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
            for_each_row([&](float *dense, const float *row) { std::copy_n(row, width(), dense); });
        }
        buffer_.header.set_host_dirty();
    }
    /// Waits for the kernel and copies its result.
    void fetch(const char *id) {
        call_.check(id, halide_copy_to_host(&call_, &buffer_.header));
        call_.check(id, halide_device_sync(&call_, &buffer_.header));  // copies to pinned memory are queued
        if (dense_) {
            for_each_row([&](const float *dense, float *row) { std::copy_n(dense, width(), row); });
        }
    }

private:
    std::int64_t width() const {
        return operand_.extents[operand_.rank - 1];
    }
    std::int64_t elements() const {
        std::int64_t product = 1;
        for (std::size_t i = 0; i < operand_.rank; ++i) {
            product *= operand_.extents[i];
        }
        return product;
    }
    /// The operand in other memory, without gaps.
    Operand dense_form(float *memory) const {
        Operand dense = operand_;
        dense.data = memory;
        std::int64_t stride = 1;
        for (std::size_t i = dense.rank; i-- > 0;) {
            dense.strides[i] = stride;
            stride *= dense.extents[i];
        }
        return dense;
    }
    bool is_dense() const {
        const Operand dense = dense_form(operand_.data);
        for (std::size_t i = 0; i < operand_.rank; ++i) {
            if (operand_.extents[i] > 1 && operand_.strides[i] != dense.strides[i]) {
                return false;
            }
        }
        return true;
    }
    float *allocate() {
        void *memory = ScratchPool::allocate(&scratch_, elements() * sizeof(float));
        if (!memory) {
            throw DeviceError(call_.device->device.id + ": no memory on the host for a copy of " +
                              std::string(operand_.name));
        }
        return static_cast<float *>(memory);
    }
    template<typename Visit>
    void for_each_row(Visit visit) {
        const std::int64_t rows = elements() / width();
        for (std::int64_t row = 0; row < rows; ++row) {
            std::int64_t offset = 0, rest = row;
            for (std::size_t i = operand_.rank - 1; i-- > 0;) {
                offset += rest % operand_.extents[i] * operand_.strides[i];
                rest /= operand_.extents[i];
            }
            visit(dense_ + row * width(), operand_.data + offset);
        }
    }

    const Operand operand_;
    HalideCall &call_;
    ScratchPool::Call &scratch_;
    float *dense_;  // null: the operand is dense itself
    CallBuffer buffer_;
};

}  // namespace aft
