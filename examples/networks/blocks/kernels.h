#pragma once

#include "blocks/blocks.h"

#include <HalideBuffer.h>

#include <array>
#include <string>

namespace networks {

/// (channels, rows, batch), as the kernels see activations.
template<typename T>
Halide::Runtime::Buffer<T, 3> buffer(const aft::TensorView<T, 3> &view) {
    std::array<halide_dimension_t, 3> shape;
    for (int i = 0; i < 3; ++i) {
        shape[i] = {0, static_cast<int>(view.extents[2 - i]), static_cast<int>(view.strides[2 - i])};
    }
    return Halide::Runtime::Buffer<T, 3>(view.data, 3, shape.data());
}
inline Halide::Runtime::Buffer<const float, 1> buffer(const std::vector<float> &values) {
    return Halide::Runtime::Buffer<const float, 1>(values.data(), static_cast<int>(values.size()));
}

inline bool is_empty(View view) {
    return view.extents[0] == 0 || view.extents[1] == 0;
}

/// Throws KernelError for the code of a kernel that failed.
inline void check_code(const char *kernel, int code) {
    if (code != 0) {
        throw aft::KernelError(std::string(kernel) + " failed: Halide error " + std::to_string(code));
    }
}

}  // namespace networks
