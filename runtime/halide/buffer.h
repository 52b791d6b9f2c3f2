#pragma once

#include "halide/halide.h"
#include "halide/limits.h"
#include "halide/operand.h"
#include "system/system.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace aft {

inline constexpr halide_type_t float32(halide_type_float, 32);

inline halide_type_t type_of(Element element) {
    switch (element) {
        case Element::float32: break;
        case Element::int32: return {halide_type_int, 32};
        case Element::uint8: return {halide_type_uint, 8};
    }
    return float32;
}

/// Memory for kernels: aligned for every vector, and vectors may read past the end.
struct VectorAligned {
    static constexpr std::align_val_t alignment{128};
    static constexpr std::size_t past_the_end = 128;

    static void *allocate(std::size_t bytes) {
        void *memory = ::operator new(bytes + past_the_end, alignment);
        ask_for_huge_pages(memory, bytes);
        return memory;
    }
    void operator()(void *memory) const {
        ::operator delete(memory, alignment);
    }
};

/// A buffer argument that owns its dimensions, and its memory unless it is given one.
struct Buffer {
    std::vector<halide_dimension_t> dimensions;
    std::unique_ptr<void, VectorAligned> memory;
    halide_buffer_t header{};

    /// Extents outermost first, dense. A null host makes the call a bounds query, which fills in the dimensions.
    Buffer(halide_type_t type, const std::vector<std::int64_t> &extents, const void *host)
        : dimensions(extents.size()) {
        std::int64_t stride = 1;
        for (std::size_t i = 0; i < extents.size(); ++i) {
            const std::int64_t extent = extents[extents.size() - 1 - i];
            dimensions[i] = {0, static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride)};
            stride *= extent;
        }
        header.type = type;
        header.dimensions = static_cast<std::int32_t>(dimensions.size());
        header.dim = dimensions.data();
        header.host = static_cast<std::uint8_t *>(const_cast<void *>(host));
    }

    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    std::int64_t elements() const {
        std::int64_t product = 1;
        for (const halide_dimension_t &dimension : dimensions) {
            // A product past the limit stays there and doesn't overflow.
            product = std::min(product, max_elements + 1) * std::max(dimension.extent, 0);
        }
        return product;
    }

    void allocate() {
        if (elements() == 0) {  // Halide's device runtimes abort at empty buffers
            std::int32_t stride = 1;
            for (halide_dimension_t &dimension : dimensions) {
                dimension.extent = std::max(dimension.extent, 1);
                dimension.stride = stride;  // it was 0 beyond the empty one: tasks would share elements
                stride *= dimension.extent;
            }
        }
        memory.reset(VectorAligned::allocate(elements() * header.type.bytes()));
        header.host = static_cast<std::uint8_t *>(memory.get());
    }
};

/// The buffer of a tensor. The stride of a dimension of extent 1 says nothing and may be anything.
struct CallBuffer {
    std::array<halide_dimension_t, Tensor::max_rank> dimensions;
    halide_buffer_t header{};

    explicit CallBuffer(const Tensor &tensor) {
        for (std::size_t i = 0; i < tensor.rank; ++i) {
            const std::size_t outer = tensor.rank - 1 - i;
            const std::int64_t extent = tensor.extents[outer], stride = tensor.strides[outer];
            dimensions[i] = {0, static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride)};
            if (extent == 1) {
                dimensions[i].stride = i == 0 ? 1 : dimensions[i - 1].extent * dimensions[i - 1].stride;
            }
        }
        header.type = type_of(tensor.element);
        header.dimensions = static_cast<std::int32_t>(tensor.rank);
        header.dim = dimensions.data();
        header.host = static_cast<std::uint8_t *>(tensor.data);
        if (tensor.on_device) {
            header.host = nullptr;
            header.device = tensor.on_device->device;
            header.device_interface = tensor.on_device->device_interface;
        }
    }
    CallBuffer(const CallBuffer &) = delete;
    CallBuffer &operator=(const CallBuffer &) = delete;
};

}  // namespace aft
