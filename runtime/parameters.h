#pragma once

#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace aft {

/// Generated code counts elements in 32 bits.
inline constexpr std::int64_t max_elements = std::numeric_limits<std::int32_t>::max();

/// A parameter of a layer: as a tensor of a checkpoint, as a member of Weights and as an argument of the kernels.
struct Parameter {
    const char *tensor;
    const char *argument;
    std::vector<float> Weights::*values;
    std::vector<std::int64_t> extents;  // outermost first
    bool optional = false;              // a bias: missing means 0

    std::int64_t size() const;
};

/// The parameters of a layer.
std::vector<Parameter> parameters(const LayerConfig &config);

/// "[2, 3]"
std::string to_string(const std::vector<std::int64_t> &extents);

/// Throws ConfigError for extents that make no sense, ShapeError for parameters above max_elements.
void check_config(const LayerConfig &config);

/// Throws WeightsError that lists every parameter of a wrong size and every value that can't be.
void check_weights(const Weights &weights, const LayerConfig &config);

/// The row of the position bias whose values differ most.
struct BiasRange {
    float range = 0;
    std::int64_t row = 0;
};

/// Infinite for a row that masks a source. AFTLocal: over the band and 0. AFTSimple: 0.
BiasRange widest_bias_range(const Weights &weights, const LayerConfig &config);

}  // namespace aft
