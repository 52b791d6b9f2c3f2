#pragma once

#include "weights/stored_tensors.h"

#include <aft/weights.h>

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
    std::string_view local_mask;                    // BOOL [S, S], true in AFTLocal's band
    std::string_view beside;                        // a module that lies among these and that the layer leaves out
    std::string_view foreign;                       // one that only another layer with these names has
    bool has_gate = true;                           // sigmoid(Q), a factor of the mean

    /// The modules query, key, value and, if the network has it, project.
    std::vector<std::string_view> modules() const;
};

inline constexpr Naming naming_table[] = {
    {"aft-pytorch", "to_q", "to_k", "to_v", "project", "wbias", "wbias_u", "wbias_v", "", "", ""},
    {"labml-nn", "query", "key", "value", "output", "pos_bias", "", "", "local_mask", "", ""},
    {"featurebooster", "query", "key", "value", "proj", "", "", "", "", "layer_norm", ""},
    {"liftfeat", "query", "key", "value", "proj", "", "", "", "", "layer_norm", "", false},
    {"external-attention", "fc_q", "fc_k", "fc_v", "", "position_biases", "", "", "", "", "fc_o"},
};
inline constexpr const Naming &aft_pytorch = naming_table[0];

/// The place of a layer in a checkpoint. The naming's views point into the table and into LoadOptions::names.
struct LayerPlace {
    std::string prefix;
    Naming naming;
};

/// The start of a message: "model.safetensors: ".
std::string where(const StoredTensors &tensors);

/// The one layer that `options` select. Throws ConfigError for a naming or a parameter that doesn't exist, and for a
/// layer that no kernel computes. Throws WeightsError that lists the layers to choose from or, if there is none, the
/// names that were looked for.
LayerPlace locate(const StoredTensors &tensors, const LoadOptions &options);

}  // namespace aft
