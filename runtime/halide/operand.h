#pragma once

#include <aft/tensor_view.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

struct halide_buffer_t;

namespace aft {

/// The types of a kernel's tensors.
enum class Element : std::uint8_t { float32, int32, uint8 };

/// The element of a C++ type. A bool is a byte of 0 or 1.
template<typename T>
constexpr Element element_of() {
    if constexpr (std::is_same_v<T, float>) {
        return Element::float32;
    } else if constexpr (std::is_same_v<T, std::int32_t>) {
        return Element::int32;
    } else {
        static_assert(std::is_same_v<T, std::uint8_t> || (std::is_same_v<T, bool> && sizeof(bool) == 1));
        return Element::uint8;
    }
}

constexpr std::int64_t bytes_of(Element element) {
    return element == Element::uint8 ? 1 : 4;
}

/// A tensor in the host's memory, or in memory of a device that CallMemory or KeptTensor owns.
struct Tensor {
    static constexpr std::size_t max_rank = 4;
    using Extents = std::array<std::int64_t, max_rank>;

    void *data = nullptr;                        // on the host
    const halide_buffer_t *on_device = nullptr;  // where its first element is; null: it is on the host
    Element element = Element::float32;
    std::size_t rank = 0;          // 0: there is no tensor
    Extents extents{}, strides{};  // outermost first, strides in elements

    Tensor() = default;

    template<typename T, std::size_t Rank>
    Tensor(const TensorView<T, Rank> &view)
        : data(const_cast<std::remove_const_t<T> *>(view.data)), element(element_of<std::remove_const_t<T>>()),
          rank(Rank) {
        static_assert(0 < Rank && Rank <= max_rank);
        std::copy(view.extents.begin(), view.extents.end(), extents.begin());
        std::copy(view.strides.begin(), view.strides.end(), strides.begin());
    }

    std::int64_t elements() const {
        std::int64_t product = 1;
        for (std::size_t i = 0; i < rank; ++i) {
            product *= extents[i];
        }
        return product;
    }
    /// The same elements one after the other, in memory that is still to be found. A dimension of stride 0 stays one:
    /// its elements are kept once.
    Tensor dense_form() const {
        Tensor dense = *this;
        std::int64_t stride = 1;
        for (std::size_t i = rank; i-- > 0;) {
            if (is_shared(i)) {
                continue;
            }
            dense.strides[i] = stride;
            stride *= extents[i];
        }
        return dense;
    }
    /// `count` elements of a dimension from `first` on, of float32 in the host's memory.
    Tensor part(std::size_t dimension, std::int64_t first, std::int64_t count) const {
        Tensor result = *this;
        result.data = static_cast<float *>(data) + first * strides[dimension];
        result.extents[dimension] = count;
        return result;
    }
    bool is_shared(std::size_t dimension) const {
        return strides[dimension] == 0 && extents[dimension] > 1;
    }
};

/// A tensor that a call passes to a kernel, as the argument with the same name.
struct Operand : Tensor {
    Operand() = default;
    Operand(std::string_view argument, const Tensor &tensor) : Tensor(tensor), name(argument) {}

    std::string_view name;
};

}  // namespace aft
