#pragma once

#include "reference/forms.h"

#include <aft/config.h>
#include <aft/kernels.h>
#include <aft/weights.h>

#include <cstdint>
#include <vector>

namespace aft {

/// The result of a layer in double, by the definition:
///     A[t, c] = sum_t' exp(K[t', c] + w[t, t'] - M[t, c]) V[t', c] / sum_t' exp(K[t', c] + w[t, t'] - M[t, c])
/// with the joint maximum M[t, c] = max_t' (K[t', c] + w[t, t']): sound for every key and bias, and slow.
struct Reference {
    std::vector<double> output;     ///< [batch, rows, hidden]
    std::vector<double> tolerance;  ///< same shape: how far from `output` a correct float32 result can be
};

/// x: [batch, seq, hidden]. `rows` are the target positions to compute, of every sample; empty: all of them.
Reference reference_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                            const Shape &shape, std::vector<std::int64_t> rows = {});

/// The same computation in float32: the plain way to do it soundly, which `tolerance` is calibrated on.
std::vector<float> plain_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                                 const Shape &shape, std::vector<std::int64_t> rows = {});

/// Largest |actual - output| / tolerance; infinite where an element isn't a number or the sizes differ. A result is
/// right when this is <= 1.
double error_in_tolerances(const Reference &reference, const std::vector<float> &actual);

/// How far a kernel may be off, in tolerances: 1 where it keeps float32. bfloat16 has 8 bits, so that each operand of a
/// sum is off by 2^-8 of itself at most: a weight in a projection, and in a mean four of them, exp(w) and exp(K) V
/// above, exp(w) and exp(K) below. That is 4 x 2^-8 of what `tolerance` has 4 x 2^-23 of.
double allowed_tolerances(const KernelInfo &kernel);

/// The weights rounded to what the kernel keeps: what it computes with them has no error by their rounding.
Weights as_stored(const KernelInfo &kernel, Weights weights);

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
