#pragma once

#include <aft/tensor_view.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace aft {

/// A tensor that a call passes to a kernel, as the argument with the same name. The kernel reads a view of constants
/// and writes any other.
struct Operand {
    static constexpr std::size_t max_rank = 4;
    using Extents = std::array<std::int64_t, max_rank>;

    template<typename T, std::size_t Rank>
    Operand(std::string_view argument, const TensorView<T, Rank> &tensor)
        : name(argument), data(const_cast<float *>(tensor.data)), is_output(!std::is_const_v<T>), rank(Rank) {
        static_assert(std::is_same_v<std::remove_const_t<T>, float> && 0 < Rank && Rank <= max_rank);
        std::copy(tensor.extents.begin(), tensor.extents.end(), extents.begin());
        std::copy(tensor.strides.begin(), tensor.strides.end(), strides.begin());
    }

    std::string_view name;
    float *data;
    bool is_output;
    std::size_t rank;
    Extents extents{}, strides{};  // outermost first, strides in elements
};

}  // namespace aft
