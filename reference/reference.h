#pragma once

#include "reference/forms.h"

#include <aft/call.h>
#include <aft/config.h>
#include <aft/kernels.h>
#include <aft/weights.h>

#include <cstdint>
#include <vector>

namespace aft {

/// The result of a layer in double, by the definition:
///     A[i, c] = sum_j exp(K[j, c] + w[i, j, c] - M[i, c]) V[j, c] / sum_j exp(K[j, c] + w[i, j, c] - M[i, c])
/// over the sources j that target i sees, with the joint maximum M[i, c] = max_j (K[j, c] + w[i, j, c]): sound for
/// every key and bias, and slow. Every form sums over pairs; none keeps a state.
struct Reference {
    std::vector<double> output;     ///< [batch, rows, channels]
    std::vector<double> tolerance;  ///< same shape: how far from `output` a correct float32 result can be
};

/// Added up, of values that each sample has.
Reference sum_of_samples(const Reference &each, std::int64_t samples);

/// y = layer(call). `rows` are the targets to compute, of every sample; empty: all of them. In a causal form, the last
/// target is at the last source. Where the targets are the sources, rows beyond a sample's length are 0.
Reference reference_layer(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                          std::vector<std::int64_t> rows = {});
/// The result of kernels that keep int8: of the weights and inputs as these kernels round them, with a tolerance that
/// has the rounding of the gated values.
Reference reference_in_int8(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                            std::vector<std::int64_t> rows = {});
/// The result of a whole layer by kernels of this storage, and how far they may be off it, in tolerances.
struct Expected {
    Reference reference;
    double allowed;
};
Expected expected_layer(const KernelInfo &kernel, const LayerConfig &config, const Weights &weights,
                        const LayerCall &call, std::vector<std::int64_t> rows = {});
/// reference_layer() without projections. The targets are the sources in causal forms with as many targets as sources.
Reference reference_core(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                         std::vector<std::int64_t> rows = {});
/// The logarithm of the sum of the weights of each mean, within the range of finite floats; -inf for a target without a
/// source or a result. [batch, targets, P]
Reference reference_log_weights(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                                std::int64_t targets);
/// y = layer(x). x: [batch, seq, hidden].
LayerCall call_with(const LayerConfig &config, const std::vector<float> &x, const Shape &shape);
Reference reference_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                            const Shape &shape, std::vector<std::int64_t> rows = {});
/// The query's projection alone, x Wq + bq, [batch, rows, projected].
Reference reference_projection(const LayerConfig &config, const Weights &weights, TensorView<const float, 3> x,
                               std::vector<std::int64_t> rows = {});

/// The same computations in float32: the plain way to do them soundly, which `tolerance` is calibrated on.
std::vector<float> plain_layer(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                               std::vector<std::int64_t> rows = {});
std::vector<float> plain_core(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                              std::vector<std::int64_t> rows = {});
std::vector<float> plain_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                                 const Shape &shape, std::vector<std::int64_t> rows = {});

/// Largest |actual - output| / tolerance; infinite where an element isn't a number or the sizes differ. A result is
/// right when this is <= 1.
double error_in_tolerances(const Reference &reference, const std::vector<float> &actual);

/// How far a kernel may be off, in tolerances: 1 where it keeps float32. bfloat16 has 8 bits, so that each operand of a
/// sum is off by 2^-8 of itself at most: two in a projection, its input and its weight, and in a mean four of them,
/// exp(w) and exp(K) V above, exp(w) and exp(K) below. That is 4 x 2^-8 of what `tolerance` has 4 x 2^-23 of. In int8,
/// a weight is off by 2^-8 of the largest one of its channel. Where that is four times as large as most others, it is
/// 2^-6 of them, four times what bfloat16 may be off. With outliers it is more: reference_in_int8() is for all weights.
double allowed_tolerances(const KernelInfo &kernel);

/// x: [rows, inputs], weight: [outputs, inputs], bias: [outputs] or empty -> x weight^T + bias, [rows, outputs].
std::vector<double> reference_linear(const std::vector<double> &x, const std::vector<float> &weight,
                                     const std::vector<float> &bias, std::int64_t inputs, std::int64_t outputs);

/// The weighted mean of one sample, [targets, channels].
struct WeightedMean {
    std::vector<double> value;      ///< A = sum p V; 0 where every source is masked
    std::vector<double> magnitude;  ///< sum p |V|
};

/// key, value: [sources, channels]. A source that is masked, or whose key is -inf, isn't read.
WeightedMean reference_mean(const std::vector<double> &key, const std::vector<double> &value, std::int64_t channels,
                            std::int64_t targets, const PairBias &bias);

}  // namespace aft
