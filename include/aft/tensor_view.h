#pragma once

/// @file
/// Views of tensors in the caller's memory.

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace aft {

/// A tensor in the caller's memory. Extents and strides are outermost first ([batch, seq, hidden]); strides count
/// elements. A view owns nothing and checks nothing. The function that takes it documents and checks what it accepts.
template<typename T, std::size_t Rank>
struct TensorView {
    /// One number per dimension.
    using Extents = std::array<std::int64_t, Rank>;

    T *data = nullptr;  ///< the first element
    Extents extents{};  ///< outermost first
    Extents strides{};  ///< in elements

    /// A view of no tensor.
    TensorView() = default;

    /// A dense, row-major tensor.
    TensorView(T *first, Extents shape) : data(first), extents(shape) {
        std::uint64_t stride = 1;  // unsigned: extents that no call takes may overflow it
        for (std::size_t i = Rank; i-- > 0;) {
            strides[i] = static_cast<std::int64_t>(stride);
            stride *= static_cast<std::uint64_t>(extents[i]);
        }
    }

    /// A tensor with any strides: with gaps between rows or samples, for example.
    TensorView(T *first, Extents shape, Extents distances) : data(first), extents(shape), strides(distances) {}

    /// A view of constants can be made from a view of variables.
    template<typename U, typename = std::enable_if_t<std::is_same_v<const U, T> && !std::is_const_v<U>>>
    TensorView(const TensorView<U, Rank> &other) : data(other.data), extents(other.extents), strides(other.strides) {}
};

}  // namespace aft
