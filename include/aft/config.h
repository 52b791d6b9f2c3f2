#pragma once

/// @file
/// A layer's form and sizes, and the options to run it.

#include <aft/export.h>
#include <aft/standard_library.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace aft {

/// The position bias w[t, t'] that a layer adds to the key of source t' for target t.
enum class PositionBias {
    none,         ///< w is 0
    dense,        ///< w[t, t'] is a parameter of the layer for any two positions
    banded,       ///< w[t, t'] is a parameter where |t - t'| < window, and 0 elsewhere
    convolution,  ///< w[t, t'] is a parameter of the head and of t - t' where 0 <= t - t' < window, and 0 elsewhere
    decay,        ///< w[t, t', c] = -(t - 1 - t') decay[c] for t' < t, and bonus[c] for t' = t
    given,        ///< w[b, t, t'] is an input of each call
};

/// The sources that a target sees.
enum class Reach {
    all,   ///< every source
    past,  ///< the sources t' <= t: the layer is causal
};

/// The factor of the weighted mean.
enum class Gate {
    sigmoid,   ///< sigmoid(Q)
    tanh,      ///< tanh(Q)
    none,      ///< 1: the layer has no query
    identity,  ///< Q itself, as in LiftFeat
};

/// The formula of a layer, as a choice for each of its parts.
struct LayerForm {
    PositionBias bias = PositionBias::dense;  ///< added to the keys
    Reach reach = Reach::all;                 ///< of the mean
    Gate gate = Gate::sigmoid;                ///< of the mean

    /// Whether the layer has the parameter position_bias: [S, S], or [heads, window] of a convolution.
    constexpr bool has_bias() const {
        return has_positions() || has_heads();
    }
    /// Whether it is [S, S]: S limits the sequences.
    constexpr bool has_positions() const {
        return bias == PositionBias::dense || bias == PositionBias::banded;
    }
    /// Whether it is [heads, window].
    constexpr bool has_heads() const {
        return bias == PositionBias::convolution;
    }
    /// Whether LayerConfig::window limits the position bias.
    constexpr bool has_window() const {
        return bias == PositionBias::banded || bias == PositionBias::convolution;
    }
    /// Whether the layer has the parameters decay and bonus.
    constexpr bool has_decay() const {
        return bias == PositionBias::decay;
    }
    /// Whether each call gives the position bias.
    constexpr bool takes_bias() const {
        return bias == PositionBias::given;
    }
    /// Whether the position bias depends on the channel. Such a form takes masks of sources, not of pairs.
    constexpr bool varies_by_channel() const {
        return has_heads() || has_decay();
    }
    /// Whether a target sees the sources up to its own position only.
    constexpr bool is_causal() const {
        return reach == Reach::past;
    }
    /// Whether a causal form keeps sums of the sources that have left its window, and so computes its targets in order.
    constexpr bool has_sums() const {
        return is_causal() && bias != PositionBias::dense && !takes_bias();
    }
    /// Whether the layer has a query.
    constexpr bool has_query() const {
        return gate != Gate::none;
    }
    /// The form over the sources t' <= t.
    constexpr LayerForm causal() const {
        return {bias, Reach::past, gate};
    }
    /// The form without a gate, and so without a query.
    constexpr LayerForm without_gate() const {
        return {bias, reach, Gate::none};
    }
    /// The form with the position bias of each call instead of its own.
    constexpr LayerForm with_given_bias() const {
        return {PositionBias::given, reach, gate};
    }
};

/// Two forms are the same when all their parts are.
constexpr bool operator==(const LayerForm &a, const LayerForm &b) {
    return a.bias == b.bias && a.reach == b.reach && a.gate == b.gate;
}
/// See operator==().
constexpr bool operator!=(const LayerForm &a, const LayerForm &b) {
    return !(a == b);
}

/// AFTFull of "An Attention Free Transformer" (Zhai et al., arXiv 2105.14103): a position bias between any two
/// positions.
inline constexpr LayerForm aft_full{PositionBias::dense};
/// AFTSimple: no position bias.
inline constexpr LayerForm aft_simple{PositionBias::none};
/// AFTLocal: a position bias within a window, 0 outside.
inline constexpr LayerForm aft_local{PositionBias::banded};
/// AFTFull over the sources t' <= t.
inline constexpr LayerForm aft_causal_full{PositionBias::dense, Reach::past};
/// AFTSimple over the sources t' <= t.
inline constexpr LayerForm aft_causal_simple{PositionBias::none, Reach::past};
/// AFTLocal over the sources t' <= t.
inline constexpr LayerForm aft_causal_local{PositionBias::banded, Reach::past};
/// AFT-conv in one dimension, causal: a position bias of the distance t - t' within a window, for each head.
inline constexpr LayerForm aft_conv{PositionBias::convolution, Reach::past};
/// The time mixing of RWKV-4, wkv: a decay per channel, and a bonus for the current position.
inline constexpr LayerForm aft_wkv{PositionBias::decay, Reach::past};
/// AFTFull with the position bias as an input of each call, one for all samples or one for each.
inline constexpr LayerForm aft_given{PositionBias::given};
/// The same over the sources t' <= t.
inline constexpr LayerForm aft_causal_given{PositionBias::given, Reach::past};

/// A form with a name, which says nothing about its gate: every form has every gate.
struct NamedForm {
    std::string_view name;   ///< "full": in ids of kernels, on the command line, in reports
    std::string_view title;  ///< "AFTFull", as in the paper
    std::string_view bias;   ///< "w[t, t'] between any two positions", for readers of a report
    std::int32_t c_kind;     ///< its AFT_LAYER_... in <aft/aft_c.h>: 0 for AFT_LAYER_FULL
    LayerForm form;          ///< aft_full
};

/// Every form that has a name.
inline constexpr NamedForm named_forms[] = {
    {"full", "AFTFull", "w[t, t'] between any two positions", 0, aft_full},
    {"simple", "AFTSimple", "w = 0", 1, aft_simple},
    {"local", "AFTLocal", "w[t, t'] where |t - t'| < s, and 0 elsewhere", 2, aft_local},
    {"causal_full", "causal AFTFull", "w[t, t'] for t' <= t", 3, aft_causal_full},
    {"causal_simple", "causal AFTSimple", "w = 0 for t' <= t", 4, aft_causal_simple},
    {"causal_local", "causal AFTLocal", "w[t, t'] where t - t' < s, and 0 elsewhere, for t' <= t", 5, aft_causal_local},
    {"conv", "causal AFT-conv", "w[t - t'] of each head where t - t' < s, and 0 elsewhere, for t' <= t", 6, aft_conv},
    {"wkv", "wkv", "-(t - 1 - t') decay for t' < t, and bonus for t' = t", 7, aft_wkv},
    {"given", "AFTFull with a given bias", "w[b, t, t'] of the call", 8, aft_given},
    {"causal_given", "causal AFTFull with a given bias", "w[b, t, t'] of the call for t' <= t", 9, aft_causal_given},
};

/// The name of a form, whatever its gate: "full", "causal_full" and so on, of named_forms. Throws ConfigError for a
/// form without a name.
AFT_API std::string_view name(const LayerForm &form);

/// The form with a name: the inverse of name(). Throws ConfigError for any other text.
AFT_API LayerForm layer_form(std::string_view name);

/// The form and the sizes of a layer. Its weights are not part of it.
struct LayerConfig {
    /// One of named_forms.
    LayerForm form = aft_full;
    std::int64_t hidden = 0;        ///< H, channels of input and output, >= 1
    std::int64_t projected = 0;     ///< P, channels of query, key and value, >= 1
    std::int64_t max_seq_len = 0;   ///< S, the longest sequence, >= 1; a position bias is [S, S]
    std::int64_t window = 0;        ///< s, of forms with a window: the bias holds where |t - t'| < s; >= 0, conv: >= 1
    std::int64_t key_hidden = 0;    ///< channels of the key input; 0: hidden
    std::int64_t value_hidden = 0;  ///< channels of the value input; 0: key_hidden
    std::int64_t heads = 1;         ///< of a convolution: heads of projected / heads neighbouring channels; >= 1
};

/// The part of the shape that may change from call to call.
struct Shape {
    std::int64_t batch = 1;  ///< >= 0
    std::int64_t seq = 1;    ///< 0..max_seq_len
};

/// The kernel, the device and the storage of a layer. The library chooses where a member is empty.
struct LayerOptions {
    /// The id of the kernel that must run. If it is empty, the environment's AFT_KERNEL names the kernel. If that is
    /// empty too, the library chooses one for each shape.
    std::string kernel = {};
    /// The device that the layer lives on: an id of devices(), or an API, which means its first usable device. If it is
    /// empty, the environment's AFT_DEVICE names the device. If that is empty too, a forced kernel runs on the first
    /// usable device of its API; any other layer lives on the first usable GPU of devices() that has a kernel for it
    /// and memory for its weights, or on the CPU. A named device or kernel loads the drivers of its own API only; "cpu"
    /// loads none.
    std::string device = {};
    /// "bfloat16": where there is a kernel that keeps its operands in bfloat16 (KernelInfo::storage), it runs. "int8":
    /// where there is one that keeps the weights of projections in int8, it runs; the rest of the layer is in float32.
    /// A core, and training, refuse it. If it is empty, the environment's AFT_STORAGE says so. If that is empty too, or
    /// "float32", all operands are float32.
    std::string storage = {};
};

}  // namespace aft
