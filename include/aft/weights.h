#pragma once

/// @file
/// The parameters of a layer, and files that have them.

#include <aft/config.h>
#include <aft/export.h>

#include <string>
#include <vector>

namespace aft {

/// The parameters of one layer, row-major, with the shapes of aft-pytorch's state_dict (y = x W^T + b). A bias may be
/// empty, which means 0.
struct Weights {
    std::vector<float> query_weight;    ///< to_q.weight: [P, H]
    std::vector<float> query_bias;      ///< to_q.bias: [P]
    std::vector<float> key_weight;      ///< to_k.weight: [P, H]
    std::vector<float> key_bias;        ///< to_k.bias: [P]
    std::vector<float> value_weight;    ///< to_v.weight: [P, H]
    std::vector<float> value_bias;      ///< to_v.bias: [P]
    std::vector<float> project_weight;  ///< project.weight: [H, P]
    std::vector<float> project_bias;    ///< project.bias: [H]
    /// wbias: [S, S], target by source; full and local only. -inf masks a pair. AFTLocal reads only its band.
    std::vector<float> position_bias;
};

/// Reads the weights of a layer from a safetensors file with the key names of aft-pytorch's state_dict: to_q.weight,
/// to_q.bias, to_k.*, to_v.*, project.*, wbias. Tensors that a layer doesn't have are ignored. All must be float32.
/// Throws WeightsError that names the tensor and both shapes.
AFT_API Weights load_weights(const std::string &path, const LayerConfig &config);

/// The config that a file's shapes imply: hidden, projected, and max_seq_len where there is a wbias. What a file
/// doesn't hold (kind, window, max_seq_len of AFTSimple) is left as it is in `config`. Throws WeightsError.
AFT_API LayerConfig config_from_weights(const std::string &path, LayerConfig config);

}  // namespace aft
