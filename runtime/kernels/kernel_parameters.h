#pragma once

#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace aft {

/// The arguments of a kernel that are the same in every call. A kernel takes those that it has an argument for:
/// `prepare` the raw ones, `call` the others.
struct KernelParameters {
    struct Values {
        std::string_view argument;
        const float *values;                // read while the kernel is prepared; null: zeros
        std::vector<std::int64_t> extents;  // outermost first
    };
    struct Scalar {
        std::string_view argument;
        std::int32_t value;
    };
    std::vector<Values> tensors = {};
    std::vector<Scalar> scalars = {};
};

/// The parameters of a `forward` kernel. They point into `weights`, which must fit `config`, and, in place of an output
/// projection that the weights don't have, into `identity`.
KernelParameters forward_parameters(const Weights &weights, const LayerConfig &config, std::vector<float> &identity);

}  // namespace aft
