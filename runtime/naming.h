#pragma once

#include <aft/safetensors.h>
#include <aft/weights.h>

#include <array>
#include <string>
#include <string_view>

namespace aft {

/// What a network calls the tensors of a layer, under the layer's prefix. Empty: it has no such tensor.
struct Naming {
    std::string_view name;
    std::string_view query, key, value, project;    // modules with a weight and perhaps a bias
    std::string_view position_bias;                 // [S, S]
    std::string_view target_factor, source_factor;  // [S, r] instead: the position bias is their product
    std::string_view local_mask;                    // BOOL [S, S], true in AFTLocal's band
    std::string_view beside;                        // a module that lies among these and that the layer leaves out

    std::array<std::string_view, 4> modules() const {
        return {query, key, value, project};
    }
};

inline constexpr Naming naming_table[] = {
    {"aft-pytorch", "to_q", "to_k", "to_v", "project", "wbias", "wbias_u", "wbias_v", "", ""},
    {"labml-nn", "query", "key", "value", "output", "pos_bias", "", "", "local_mask", ""},
    {"featurebooster", "query", "key", "value", "proj", "", "", "", "", "layer_norm"},
};
inline constexpr const Naming &aft_pytorch = naming_table[0];

/// A layer in a file.
struct LayerPlace {
    std::string prefix;
    const Naming *naming;
};

/// The start of a message: "model.safetensors: ".
std::string where(const SafetensorsFile &file);

/// The one layer of the file that `options` leave. Throws ConfigError for an unknown naming; WeightsError that lists
/// what there is to choose from, or what was looked for.
LayerPlace locate(const SafetensorsFile &file, const LoadOptions &options);

}  // namespace aft
