#pragma once

#include "weights/stored_tensors.h"

#include <aft/weights.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// The names that a network gives to the tensors of a layer, behind the layer's prefix. Empty: it has no such tensor.
struct Naming {
    std::string_view name;
    std::string_view query, key, value;             // modules with a weight and perhaps a bias
    std::string_view project;                       // another; without one the gated mean is the output
    std::string_view position_bias;                 // [S, S]
    std::string_view target_factor, source_factor;  // [S, r] instead: the position bias is their product
    std::string_view local_mask = {};               // BOOL [S, S], true in AFTLocal's band
    std::string_view filter = {};                   // [heads, window]
    std::string_view decay = {};                    // [P]
    std::string_view log_decay = {};                // [P] instead: the decay is exp of it
    std::string_view bonus = {};                    // [P]
    std::string_view beside = {};                   // the start of names among these that the layer leaves out
    std::string_view foreign = {};                  // a module that only another layer with these names has
    std::optional<Gate> gate = Gate::sigmoid;       // none: the names don't imply it

    /// Those of the modules query, key, value and project that the network has.
    std::vector<std::string_view> modules() const;
};

inline constexpr Naming naming_table[] = {
    {"aft-pytorch", "to_q", "to_k", "to_v", "project", "wbias", "wbias_u", "wbias_v", "", "filter", "decay",
     "log_decay", "bonus"},
    {"labml-nn", "query", "key", "value", "output", "pos_bias", "", "", "local_mask"},
    {"featurebooster", "query", "key", "value", "proj", "", "", "", "", "", "", "", "", "layer_norm."},
    {"liftfeat", "query", "key", "value", "proj", "", "", "", "", "", "", "", "", "", "", Gate::identity},
    {"external-attention", "fc_q", "fc_k", "fc_v", "", "position_biases", "", "", "", "", "", "", "", "", "fc_o"},
    {"rwkv-4", "receptance", "key", "value", "output", "", "", "", "", "", "", "time_decay", "time_first"},
};
inline constexpr const Naming &aft_pytorch = naming_table[0];

/// The place of a layer in a checkpoint. The naming's views point into the table and into LoadOptions::names.
struct LayerPlace {
    std::string prefix;
    Naming naming;
};

/// The start of a message: "model.safetensors: ".
std::string where(const StoredTensors &tensors);
/// 'layer "a." ', or nothing without a prefix.
std::string in_layer(const std::string &prefix);

/// The one layer that `options` select, with the gate that they say. Throws ConfigError for a naming or a parameter
/// that doesn't exist. Throws WeightsError that lists the layers to choose from or, if there is none, the names that
/// were looked for.
LayerPlace locate(const StoredTensors &tensors, const LoadOptions &options);

}  // namespace aft
