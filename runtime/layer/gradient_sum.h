#pragma once

#include "threads/float_environment.h"

#include <aft/tensor_view.h>

#include <algorithm>
#include <cstdint>

namespace aft {

/// Stores the gradient of a part of the batch, a matrix without gaps. adds: to that of the parts before it, in order.
inline void store_rows(const float *from, const TensorView<float, 2> &to, bool adds) {
    const FloatEnvironment during;
    const auto [rows, columns] = to.extents;
    for (std::int64_t row = 0; to.data && row < rows; ++row) {
        const float *const begin = from + row * columns;
        float *const sum = to.data + row * to.strides[0];
        if (adds) {
            std::transform(begin, begin + columns, sum, sum, [](float part, float before) { return before + part; });
        } else {
            std::copy_n(begin, columns, sum);
        }
    }
}
inline void store_rows(const float *from, const TensorView<float, 1> &to, bool adds) {
    store_rows(from, TensorView<float, 2>(to.data, {1, to.extents[0]}), adds);
}

}  // namespace aft
