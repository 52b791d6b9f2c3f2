#pragma once

#include <aft/call.h>
#include <aft/config.h>
#include <aft/kernels.h>
#include <aft/weights.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace aft {

struct Judgement;

/// The values of the input and the weights. All but `normal` and `outliers` have exact queries, keys and values: of a
/// layer, hidden = 3 projected, an input of [query | key | value] and weights that select these.
enum class Data {
    normal,             ///< query, key and position bias of order 1, as in trained models
    outliers,           ///< keys up to about 60, biases that use the whole range of the fast kernels
    mismatched_maxima,  ///< key 110 at one source where rows of the bias are at their lowest, within the fast range
    cancelling_band,    ///< key 30 and bias -20 at the same source: (exp(w) - 1) in the band plus a global sum gives 0
    unbounded_bias,     ///< biases down to -220 and -inf, a row that masks every source: exact kernels only
    unbounded_offsets,  ///< keys that count are up to 1e38 below one whose bias is lower still: exact kernels only
    huge_queries,       ///< queries of either sign up to 1e38
    huge_keys,          ///< keys of either sign up to 1e38
    offset_keys,        ///< keys of order 1 above an offset of up to 1e38
    offset_biases,      ///< biases of order 1 above an offset of up to 1e7 in each row; AFTLocal: exact kernels only
    huge_values,        ///< values of order 1e30
    largest_values,     ///< values just below FLT_MAX / seq
    denormal_values,    ///< values around FLT_MIN
    rising_keys,        ///< each quarter of the sources 120 above the one before; below, in every other channel
    wide_biases,        ///< biases from -1000 to 1000, -inf at one in eight, a row that masks every source
    lowest_biases,      ///< biases at the ends of float32's range; rows of nothing but the lowest: exact kernels only
    hidden_keys,        ///< keys of -inf: a few, and all of a channel; values there are NaN. Without projections only
};

/// The pairs that the mask of a call hides.
enum class Mask {
    none,
    sources,  ///< sources of each sample, all of the last sample's; their keys and values are NaN
    pairs,    ///< pairs, the same in each sample, all of one target's; one source, which is NaN, hides from all
    pairs_of_samples,  ///< pairs of each sample
};

/// One layer on one input. The same on every machine: the numbers come from integer arithmetic on the seed.
struct Problem {
    LayerConfig config;  ///< hidden = 0: the weighted mean alone, without projections
    Shape shape;         ///< seq: the targets
    Data data = Data::normal;
    std::uint64_t seed = 1;

    std::int64_t sources = 0;      ///< 0: the targets are the sources
    bool has_lengths = false;      ///< samples have some of the sources; the others are NaN
    Mask mask = Mask::none;        ///< of the call
    bool bias_per_sample = false;  ///< a bias that the call gives differs between samples
    float bias_scale = 1;          ///< of a bias that the call gives
    std::int64_t piece = 0;        ///< positions of a step; 0: all in one call
    bool projects_output = true;   ///< the layer has an output projection
};

/// One line, for messages: "local B2 T17 H16 P48 S20 s3 normal seed 1".
std::string describe(const Problem &problem);

/// The sources of each sample.
std::int64_t source_count(const Problem &problem);
/// Channels of the key input and of the value input.
std::int64_t key_channels(const LayerConfig &config);
std::int64_t value_channels(const LayerConfig &config);
/// Whether the call has nothing but x, so that Layer::forward(x, y) computes it.
bool is_plain(const Problem &problem);

Weights make_weights(const Problem &problem);

/// [batch, seq, hidden]: the query input.
std::vector<float> make_input(const Problem &problem);

/// The tensors of a call, without gaps, and views of them.
struct CallTensors {
    std::vector<float> query, key, value, position_bias;
    std::vector<std::int64_t> lengths;
    std::unique_ptr<bool[]> mask;
    CoreCall core;    ///< of a problem without projections
    LayerCall layer;  ///< of any other
};

CallTensors make_call(const Problem &problem);

/// Whether the kernel runs the problem here, by the library's own selector (runtime/kernels/selector.h).
Judgement judge(const KernelInfo &kernel, const Problem &problem);

/// Whether a caller of a layer or a mean can name the kernel: not one of kept sources or of training.
bool can_be_named(const KernelInfo &kernel);

/// Whether a kernel of `core` or `scan` computes the mean of a problem when it is named, if its extents allow it.
bool computes_mean(const KernelInfo &kernel, const Problem &problem);

/// Whether the mean of a form runs along the sequence, in a state of fixed size.
bool is_running(const LayerForm &form);

/// Every form that some kernel computes in one pipeline.
std::vector<NamedForm> forward_forms();

/// Correctness of forward kernels: sizes around register tiles and vectors, primes, 1, sequences shorter than
/// max_seq_len, windows from none to far beyond the sequence, every kind of data.
std::vector<Problem> test_problems();

/// Correctness of means without projections that see all sources of a call: other numbers of targets than of sources,
/// biases of the call, masks, lengths, gates, every kind of data.
std::vector<Problem> core_problems();

/// The same for causal forms, whose means run along the sequence: in one call, and in pieces of every size.
std::vector<Problem> scan_problems();

/// Whole layers of every form with every gate: one, two or three inputs, lengths, masks, no output projection.
std::vector<Problem> layer_problems();

/// Sizes up to about 600, small ones more often, normal data or outliers.
Problem random_problem(LayerForm form, std::uint64_t seed);

/// A random problem without projections, with masks, lengths and any data.
Problem random_core_problem(LayerForm form, std::uint64_t seed);

/// The smallest of its kind that the kernel takes and that fills a few of its tiles: 3 samples, uneven extents.
Problem problem_for(const KernelInfo &kernel);

}  // namespace aft
