#pragma once

#include "halide/limits.h"

#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>
#include <string>
#include <vector>

namespace aft {

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

/// The parameters of a layer, with the names of aft-pytorch or of `naming`.
std::vector<Parameter> parameters(const LayerConfig &config);
std::vector<Parameter> parameters(const LayerConfig &config, const Naming &naming);

/// "[2, 3]"
std::string to_string(const std::vector<std::int64_t> &extents);

/// Throws ConfigError for a form without a name and for extents out of range, ShapeError for parameters above
/// max_elements.
void check_config(const LayerConfig &config);

/// Throws WeightsError that lists every parameter of a wrong size and every value that a layer can't take.
void check_weights(const Weights &weights, const LayerConfig &config);

}  // namespace aft
