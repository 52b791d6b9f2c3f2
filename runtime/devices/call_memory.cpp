#include "devices/call_memory.h"

#include "devices/cuda_driver.h"
#include "halide/halide_devices.h"

#include <aft/error.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace aft {
namespace {

bool is_dense(const Tensor &tensor) {
    const Tensor dense = tensor.dense_form();
    for (std::size_t i = 0; i < tensor.rank; ++i) {
        if (tensor.extents[i] > 1 && tensor.strides[i] != dense.strides[i]) {
            return false;
        }
    }
    return true;
}

std::int64_t kept_extent(const Tensor &tensor, std::size_t dimension) {
    return tensor.is_shared(dimension) ? 1 : tensor.extents[dimension];
}

std::int64_t kept_elements(const Tensor &tensor) {
    std::int64_t product = 1;
    for (std::size_t i = 0; i < tensor.rank; ++i) {
        product *= kept_extent(tensor, i);
    }
    return product;
}

/// Visits the rows that are kept: where each one begins in the dense memory and in the tensor, and its bytes.
template<typename Visit>
void for_each_row(const Tensor &tensor, void *dense, Visit visit) {
    const std::size_t inner = tensor.rank - 1;
    const std::int64_t width = kept_extent(tensor, inner), bytes = bytes_of(tensor.element);
    const std::int64_t rows = kept_elements(tensor) / width;
    for (std::int64_t row = 0; row < rows; ++row) {
        std::int64_t offset = 0, rest = row;
        for (std::size_t i = inner; i-- > 0;) {
            offset += rest % kept_extent(tensor, i) * tensor.strides[i];
            rest /= kept_extent(tensor, i);
        }
        visit(static_cast<char *>(dense) + row * width * bytes, static_cast<char *>(tensor.data) + offset * bytes,
              static_cast<std::size_t>(width * bytes));
    }
}

/// The tensor as the device's memory has it: without its shared dimensions.
Tensor kept_form(const Tensor &tensor) {
    Tensor kept = tensor.dense_form();
    for (std::size_t i = 0; i < kept.rank; ++i) {
        kept.extents[i] = kept_extent(tensor, i);
    }
    return kept;
}

}  // namespace

CallMemory::CallMemory(const DeviceContext *device, ScratchPool &pool)
    : turn_(device ? device->turn() : std::unique_lock<std::mutex>()), scratch_(pool),
      call_(device ? HalideCall(device) : HalideCall(&scratch_)) {}

CallMemory::CallMemory(const CudaContext &device, ScratchPool &pool, Stream stream)
    : turn_(device.turn()), scratch_(pool), call_(&device, stream), cuda_(&device) {}

CallMemory::~CallMemory() {
    release({});
}

void CallMemory::release(const Mark &mark) {
    while (tensors_ > mark.tensors) {
        Resident &resident = residents_[--tensors_];
        halide_buffer_t &header = resident.buffer->header;
        if (resident.is_wrapped) {
            halide_cuda_detach_device_ptr(&call_, &header);
        } else {
            halide_device_free(&call_, &header);
        }
        resident.buffer.reset();
    }
    while (blocks_ > mark.blocks) {
        ScratchPool::release(&scratch_, blocks_of_call_[--blocks_]);
    }
}

void CallMemory::check_size(const char *name, const Tensor &tensor) const {
    const std::int64_t most = max_elements_of_call;
    std::int64_t product = 1;
    for (std::size_t i = 0; i < tensor.rank; ++i) {
        if (tensor.extents[i] > 0 && product > most / tensor.extents[i]) {
            throw TooLarge(std::string(name) + " has more than " + std::to_string(most) + " elements");
        }
        product *= tensor.extents[i];
    }
}

void *CallMemory::allocate(const char *name, const Tensor &tensor) {
    check_size(name, tensor);
    if (blocks_ == max_blocks) {
        throw KernelError(std::string("a call keeps more than ") + std::to_string(max_blocks) + " blocks of memory");
    }
    void *memory = ScratchPool::allocate(&scratch_, kept_elements(tensor) * bytes_of(tensor.element));
    if (!memory) {
        const std::string what = std::string("no memory on the host for ") + name;
        if (call_.device) {
            throw DeviceError(call_.device->device.id + ": " + what);
        }
        throw KernelError(what);
    }
    blocks_of_call_[blocks_++] = memory;
    return memory;
}

CallMemory::Resident &CallMemory::add(const Tensor &dense) {
    if (tensors_ == max_tensors) {
        throw KernelError(std::string("a call keeps more than ") + std::to_string(max_tensors) + " tensors");
    }
    Resident &resident = residents_[tensors_];
    resident.buffer.emplace(dense);
    resident.caller = Tensor();
    resident.dense = nullptr;
    resident.is_wrapped = false;
    ++tensors_;
    return resident;
}

Tensor CallMemory::make_constant(const char *name, std::uint32_t bits, const Tensor &tensor) {
    Tensor result = tensor.dense_form();
    const Tensor kept = kept_form(tensor);
    const std::int64_t bytes = bytes_of(tensor.element);
    if (cuda_) {
        result.on_device = make_temporary(name, kept).on_device;
        cuda_->fill(result.on_device->device, kept.elements(), bytes, bits, call_.stream);
        return result;
    }
    result.data = allocate(name, kept);
    if (bytes == 1) {
        std::memset(result.data, static_cast<int>(bits), kept.elements());
    } else {
        std::fill_n(static_cast<std::uint32_t *>(result.data), kept.elements(), bits);
    }
    return send(name, result);
}

Tensor CallMemory::make_temporary(const char *name, const Tensor &tensor) {
    Tensor result = tensor;
    if (is_on_host()) {
        result.data = allocate(name, tensor);
        return result;
    }
    check_size(name, tensor);
    halide_buffer_t &header = add(tensor).buffer->header;
    call_.check(name, halide_device_malloc(&call_, &header, call_.device->interface()));
    result.on_device = &header;
    return result;
}

/// A tensor whose data is a pointer of the device.
Tensor CallMemory::wrapped(const char *name, const Tensor &tensor) {
    Tensor result = tensor;
    Resident &resident = add(tensor);
    halide_buffer_t &header = resident.buffer->header;
    const auto address = reinterpret_cast<std::uintptr_t>(std::exchange(header.host, nullptr));
    call_.check(name, halide_cuda_wrap_device_ptr(&call_, &header, address));
    resident.is_wrapped = true;
    result.data = nullptr;
    result.on_device = &header;
    return result;
}

Tensor CallMemory::input(const char *name, const Tensor &tensor) {
    return is_queued() ? wrapped(name, tensor) : send(name, tensor);
}

Tensor CallMemory::send(const char *name, const Tensor &tensor) {
    if (is_on_host()) {
        return tensor;
    }
    Tensor kept = kept_form(tensor), result = tensor.dense_form();
    kept.data = tensor.data;
    if (!is_dense(tensor)) {
        kept.data = allocate(name, tensor);
        for_each_row(tensor, kept.data,
                     [](char *dense, const char *row, std::size_t bytes) { std::memcpy(dense, row, bytes); });
    }
    halide_buffer_t &header = add(kept).buffer->header;
    header.set_host_dirty();
    call_.check(name, halide_copy_to_device(&call_, &header, call_.device->interface()));
    result.data = nullptr;
    result.on_device = &header;
    return result;
}

Tensor CallMemory::output(const char *name, const Tensor &tensor) {
    if (is_on_host()) {
        return tensor;
    }
    if (is_queued()) {
        return wrapped(name, tensor);
    }
    Tensor result = tensor.dense_form();
    result.data = is_dense(tensor) ? tensor.data : allocate(name, tensor);
    Resident &resident = add(result);
    resident.caller = tensor;
    resident.dense = result.data == tensor.data ? nullptr : result.data;
    halide_buffer_t &header = resident.buffer->header;
    call_.check(name, halide_device_malloc(&call_, &header, call_.device->interface()));
    result.data = nullptr;
    result.on_device = &header;
    return result;
}

void CallMemory::fetch(const Tensor &output) {
    if (is_on_host() || is_queued()) {
        return;
    }
    Resident &resident = *std::find_if(residents_.begin(), residents_.begin() + tensors_,
                                       [&](const Resident &each) { return &each.buffer->header == output.on_device; });
    halide_buffer_t &header = resident.buffer->header;
    header.set_device_dirty();  // the kernel has marked its own view
    call_.check("y", halide_copy_to_host(&call_, &header));
    call_.check("y", halide_device_sync(&call_, &header));  // copies to pinned memory are queued
    if (resident.dense) {
        for_each_row(resident.caller, resident.dense,
                     [](const char *dense, char *row, std::size_t bytes) { std::memcpy(row, dense, bytes); });
    }
}

void CallMemory::wait() {
    if (!is_on_host()) {
        call_.check(call_.device->device.id.c_str(), halide_device_sync_global(&call_, call_.device->interface()));
    }
}

KeptTensor::KeptTensor(const char *name, const std::vector<std::int64_t> &extents, const float *values,
                       const DeviceContext *device)
    : device_(device), buffer_(float32, extents, nullptr) {
    buffer_.allocate();
    auto *memory = static_cast<float *>(buffer_.memory.get());
    if (values) {
        std::copy_n(values, buffer_.elements(), memory);
    } else {
        std::fill_n(memory, buffer_.elements(), 0.0f);
    }
    if (device) {
        const auto turn = device->turn();
        HalideCall call(device);
        buffer_.header.set_host_dirty();
        call.check(name, halide_copy_to_device(&call, &buffer_.header, device->interface()));
        call.check(name, halide_device_sync(&call, &buffer_.header));
        buffer_.header.host = nullptr;
        buffer_.memory.reset();
    }
}

KeptTensor::~KeptTensor() {
    if (device_) {
        device_->free(buffer_.header);
    }
}

Tensor KeptTensor::tensor() const {
    Tensor result;
    result.rank = buffer_.dimensions.size();
    for (std::size_t i = 0; i < result.rank; ++i) {
        const halide_dimension_t &dimension = buffer_.dimensions[result.rank - 1 - i];
        result.extents[i] = dimension.extent;
        result.strides[i] = dimension.stride;
    }
    result.data = buffer_.memory.get();
    result.on_device = device_ ? &buffer_.header : nullptr;
    return result;
}

}  // namespace aft
