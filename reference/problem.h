#pragma once

#include <aft/config.h>
#include <aft/kernels.h>
#include <aft/weights.h>

#include <cstdint>
#include <string>
#include <vector>

namespace aft {

struct Judgement;

/// The values of the input and the weights. All but `normal` and `outliers` have hidden = 3 projected, an input of
/// [query | key | value] and weights that select these, so that every key and value is known exactly.
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
};

/// One layer on one input. The same on every machine: the numbers come from integer arithmetic on the seed.
struct Problem {
    LayerConfig config;
    Shape shape;
    Data data = Data::normal;
    std::uint64_t seed = 1;
};

/// One line, for messages: "local B2 T17 H16 P48 S20 s3 normal seed 1".
std::string describe(const Problem &problem);

Weights make_weights(const Problem &problem);

/// [batch, seq, hidden]
std::vector<float> make_input(const Problem &problem);

/// Whether the kernel runs the problem here, by the library's own selector (runtime/kernels/selector.h).
Judgement judge(const KernelInfo &kernel, const Problem &problem);

/// Correctness: sizes around register tiles and vectors, primes, 1, sequences shorter than max_seq_len, windows from
/// none to far beyond the sequence, every kind of data.
std::vector<Problem> test_problems();

/// Sizes up to about 600, small ones more often, normal data or outliers.
Problem random_problem(LayerForm form, std::uint64_t seed);

/// The smallest of its kind that the kernel takes and that fills a few of its tiles: 3 samples, uneven extents.
Problem problem_for(const KernelInfo &kernel);

/// Speed: the shapes of the paper's models, for each layer.
std::vector<Problem> benchmark_problems();

/// The same for GPUs: fewer of them, the largest in a batch that fills a device.
std::vector<Problem> gpu_benchmark_problems();

/// Small ones. Each kernel of the build for an API takes one of them at least.
std::vector<Problem> quick_benchmark_problems(const std::string &api);

}  // namespace aft
