#pragma once

#include "halide/limits.h"
#include "weights/defects.h"

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
    Domain domain = Domain::finite;

    std::int64_t size() const;
};

/// Channels of the key and value inputs.
std::int64_t key_hidden(const LayerConfig &config);
std::int64_t value_hidden(const LayerConfig &config);

/// The parameters of a layer, with the names of aft-pytorch or of `naming`. Without a gate there is no query.
std::vector<Parameter> parameters(const LayerConfig &config);
std::vector<Parameter> parameters(const LayerConfig &config, const Naming &naming);
/// Those of the weighted mean alone: what makes its position bias.
std::vector<Parameter> core_parameters(const LayerConfig &config);
std::vector<Parameter> core_parameters(const LayerConfig &config, const Naming &naming);

/// "[2, 3]"
std::string to_string(const std::vector<std::int64_t> &extents);

/// Throws ConfigError for a form without a name and for members out of range, ShapeError for parameters above
/// max_elements.
void check_config(const LayerConfig &config);
/// The same for the weighted mean alone, which has no inputs of hidden channels.
void check_core_config(const LayerConfig &config);

/// Throws WeightsError that lists every parameter of a wrong size and every value that a layer can't take.
void check_weights(const Weights &weights, const LayerConfig &config);
void check_core_weights(const Weights &weights, const LayerConfig &config);

}  // namespace aft
