#pragma once

/// @file
/// The parameters of a layer, and files that have them.

#include <aft/config.h>
#include <aft/export.h>
#include <aft/safetensors.h>
#include <aft/standard_library.h>

#include <map>
#include <optional>
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

/// Which layer of a file is meant. With nothing set, the file must have one layer with the names of one network.
struct LoadOptions {
    /// What the layer's names begin with: "attn_proj.layers.0.attn.", or "" for no more than its own names.
    std::optional<std::string> prefix = {};
    /// One of namings(). Empty: the one that the file's names fit; "aft-pytorch" with names.
    std::string naming = {};
    /// Names in the file, behind the prefix, that take the place of the naming's: of the modules query, key, value,
    /// project, of the tensors position_bias or target_factor and source_factor, local_mask, and beside, a module that
    /// lies among these and is no part of the layer. {{"query", "w_q"}} is w_q.weight, w_q.bias. An empty name: the
    /// file has no such tensor. Without a project, hidden must be projected, and the gated mean is the output.
    std::map<std::string, std::string> names = {};
};

/// The networks whose names of a layer's tensors are known: "aft-pytorch", "labml-nn", "featurebooster", "liftfeat" and
/// "external-attention". docs/weights.md has the names.
AFT_API std::vector<std::string> namings();

/// The weights of a layer of a safetensors file, or of its shards by their index (read_safetensors). Tensors are F32,
/// F16, BF16, F64, F8_E4M3 or F8_E5M2 and become float32 (StoredTensor::as_float). A name that only the file's metadata
/// has, with that of a tensor, is that tensor (save_model() of safetensors.torch writes so what shares memory). Biases
/// may be missing. A position bias may be stored as factors u, v [S, r]: it is u v^T, summed in double. Where a file
/// has the mask of AFTLocal's band, it must be that of config.window. A network without an output projection gets the
/// identity for it, which leaves finite values as they are.
///
/// Throws ConfigError for a naming or a parameter that doesn't exist, a config that makes no sense, or a network
/// without a gate ("liftfeat"), which no kernel computes yet; ShapeError for a parameter of more than 2^31 - 1
/// elements; and WeightsError: that names the layers of the file where they are more than one, the namings where its
/// names fit more than one, the file's names where they fit none, or else that lists everything wrong with the layer:
/// tensors that are missing, of another shape or dtype, or not finite (a position bias may be -inf), and tensors that
/// the layer has no use for, without which it would compute something else. Those are, under a prefix, all that is
/// there; without one, all in the layer's modules (to_q.*).
///
/// Thread-safe. From a path are read its header and the layer's tensors, in shards those of the shards that have some.
/// A file that was read before (read_safetensors) serves for all its layers.
AFT_API Weights load_weights(const std::string &path, const LayerConfig &config, const LoadOptions &options = {});
/// The same.
AFT_API Weights load_weights(const SafetensorsFile &file, const LayerConfig &config, const LoadOptions &options = {});

/// The config that the shapes of a file's layer imply: hidden and projected, for full and local max_seq_len, and for
/// local the window where the file has its mask (max_seq_len where the mask hides nothing). What a file doesn't hold is
/// left as it is in `config`. Throws ConfigError and WeightsError as load_weights() does. Thread-safe.
AFT_API LayerConfig config_from_weights(const std::string &path, LayerConfig config, const LoadOptions &options = {});
/// The same.
AFT_API LayerConfig config_from_weights(const SafetensorsFile &file, LayerConfig config,
                                        const LoadOptions &options = {});

}  // namespace aft
