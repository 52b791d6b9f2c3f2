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

struct Naming;

/// A parameter of a layer: as a tensor of a checkpoint, as a member of Weights and as an argument of the kernels.
struct Parameter {
    std::string tensor;  // empty: the network has none
    const char *argument;
    std::vector<float> Weights::*values;
    std::vector<std::int64_t> extents;  // outermost first
    bool optional = false;              // a bias: missing means 0

    std::int64_t size() const;
    bool may_mask() const {  // with -inf
        return values == &Weights::position_bias;
    }
};

/// The parameters of a layer, with the names of aft-pytorch or others.
std::vector<Parameter> parameters(const LayerConfig &config);
std::vector<Parameter> parameters(const LayerConfig &config, const Naming &naming);

/// "[2, 3]"
std::string to_string(const std::vector<std::int64_t> &extents);

/// Throws ConfigError for extents that make no sense, ShapeError for parameters above max_elements.
void check_config(const LayerConfig &config);

/// Throws WeightsError that lists every parameter of a wrong size and every value that can't be.
void check_weights(const Weights &weights, const LayerConfig &config);

/// w[t, t'] = sum_r u[t, r] v[t', r], summed in double. u, v: [S, r] -> [S, S]
std::vector<float> factor_product(const std::vector<float> &u, const std::vector<float> &v, std::int64_t S);

/// [size, size]. The projection of a network that has none and puts out the gated mean itself: 1 times each value plus
/// 0 times the others is that value exactly, as long as all of them are finite.
std::vector<float> identity(std::int64_t size);

/// The row of the position bias whose values differ most.
struct BiasRange {
    float range = 0;
    std::int64_t row = 0;
};

/// Infinite for a row that masks a source. AFTLocal: over the band and 0. AFTSimple: 0.
BiasRange widest_bias_range(const Weights &weights, const LayerConfig &config);

}  // namespace aft
