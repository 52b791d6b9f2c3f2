#pragma once

/// @file
/// The parameters of a layer, and functions that read them from files.

#include <aft/config.h>
#include <aft/export.h>
#include <aft/safetensors.h>
#include <aft/standard_library.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace aft {

/// The parameters of one layer, row-major, with the shapes of aft-pytorch's state_dict (y = x W^T + b). An empty bias
/// of a projection means 0.
struct Weights {
    std::vector<float> query_weight;  ///< to_q.weight: [P, H]; not read without a gate
    std::vector<float> query_bias;    ///< to_q.bias: [P]; not read without a gate
    std::vector<float> key_weight;    ///< to_k.weight: [P, key_hidden]
    std::vector<float> key_bias;      ///< to_k.bias: [P]
    std::vector<float> value_weight;  ///< to_v.weight: [P, value_hidden]
    std::vector<float> value_bias;    ///< to_v.bias: [P]
    /// project.weight: [H, P]. Empty: the layer has no output projection, its output is the gated mean, and H = P.
    std::vector<float> project_weight;
    std::vector<float> project_bias;  ///< project.bias: [H]
    /// wbias: [S, S], target by source, of forms with a position bias. -inf masks a pair. A layer with a window reads
    /// only the entries within the window. A convolution has
    /// [heads, window], by the distance t - t'.
    std::vector<float> position_bias;
    std::vector<float> decay;  ///< of wkv: [P], >= 0, by which a key's exponent falls with each position
    std::vector<float> bonus;  ///< of wkv: [P], added to the key of the current position
};

/// Selects one layer of a file. Without options, the file must have exactly one layer, with the names of one network.
struct LoadOptions {
    /// The start of the layer's tensor names: "attn_proj.layers.0.attn.". "" selects the layer whose names have no
    /// prefix. If it isn't set, the layer is searched for.
    std::optional<std::string> prefix = {};
    /// One of namings(). If it is empty, the names in the file decide, or with `names`, it is "aft-pytorch".
    std::string naming = {};
    /// Names in the file, behind the prefix, that replace those of the naming. The keys are the modules query, key,
    /// value and project; the tensors position_bias, or target_factor and source_factor; local_mask; filter; decay, or
    /// log_decay; bonus; and beside, the start of names that lie among these and aren't of the layer. {{"query",
    /// "w_q"}} means w_q.weight and w_q.bias. An empty name means that the file has no such tensor. Without a project,
    /// hidden must equal projected, and the gated mean is the output. A layer without a gate needs no query.
    std::map<std::string, std::string> names = {};
    /// The gate of the layer, instead of the gate of the network that has these names. It also tells networks apart
    /// that have the same names. A file doesn't say its gate.
    std::optional<Gate> gate = {};
};

/// The networks whose tensor names the library knows: "aft-pytorch", "labml-nn", "featurebooster", "liftfeat",
/// "external-attention" and "rwkv-4". docs/weights.md lists the names.
AFT_API std::vector<std::string> namings();

/// Reads the weights of one layer from a safetensors file, or from shards by their index (read_safetensors).
/// - Tensors are F32, F16, BF16, F64, F8_E4M3 or F8_E5M2. They become float32 (StoredTensor::as_float).
/// - If only the file's metadata has a name, with the name of a tensor as its value, the name means that tensor.
///   save_model() of safetensors.torch stores tensors that share memory this way.
/// - The biases of the projections may be missing.
/// - A position bias may be stored as factors u, v [S, r]. It is u v^T, summed in double.
/// - If the file has the mask of a window, it must be that of config.window, or hide nothing if the form has no window.
/// - A decay may be stored as its logarithm. Its exponential is rounded from double.
/// - Without an output projection, project_weight stays empty. Without a gate, the query isn't read.
///
/// Throws ConfigError if a naming or a parameter doesn't exist, if the config makes no sense, or if its gate isn't that
/// of the network, which LoadOptions::gate replaces. A naming says the gate; names of the caller's own without a naming
/// don't, and the config does. Throws ShapeError for a parameter of more than 2^31 - 1 elements. Throws one
/// WeightsError with all that is wrong. If the file has several layers, it names them. If the names fit several
/// namings, it names these. If they fit none, it lists the file's names. Otherwise it lists everything wrong with the
/// layer: tensors that are missing, that have another shape or dtype, or that aren't finite (a position bias may be
/// -inf), and tensors that the layer has no use for, because with them it would compute something else. With a prefix,
/// these are all other tensors behind it. Without one, they are all other tensors in the layer's modules (to_q.*).
///
/// Thread-safe. Reads only the header and the layer's tensors, and only the shards that have some of them. To load many
/// layers of one file, read it once with read_safetensors().
AFT_API Weights load_weights(const std::string &path, const LayerConfig &config, const LoadOptions &options = {});
/// Reads the weights of one layer from a file in memory. See the other load_weights().
AFT_API Weights load_weights(const SafetensorsFile &file, const LayerConfig &config, const LoadOptions &options = {});

/// The config that a stored layer implies. Sets the form's gate as load_weights() expects it, hidden, projected,
/// key_hidden and value_hidden (0 where they may be); with a position bias [S, S], max_seq_len; with a window, the
/// window, if the file has its mask (max_seq_len if the mask hides nothing); for a convolution, heads and window. The
/// other members of `config` stay. Throws ConfigError and WeightsError as load_weights() does. Thread-safe.
AFT_API LayerConfig config_from_weights(const std::string &path, LayerConfig config, const LoadOptions &options = {});
/// The config that the shapes of a layer in memory imply. See the other config_from_weights().
AFT_API LayerConfig config_from_weights(const SafetensorsFile &file, LayerConfig config,
                                        const LoadOptions &options = {});

}  // namespace aft
