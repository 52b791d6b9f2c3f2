#pragma once

#include "reference/forms.h"
#include "reference/mean.h"

#include <aft/call.h>
#include <aft/config.h>
#include <aft/weights.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

// One sample of a call, and sums with what their roundings are relative to: shared by the results and the gradients.

namespace aft {

template<typename Real>
std::vector<Real> absolute(std::vector<Real> values) {
    for (Real &value : values) {
        value = std::abs(value);
    }
    return values;
}

template<typename Real>
std::vector<Real> squared(std::vector<Real> values) {
    for (Real &value : values) {
        value *= value;
    }
    return values;
}

/// The inner loop runs over outputs, so that the compiler vectorises it without reordering a sum; four rows share each
/// weight that is loaded.
template<typename Real>
std::vector<Real> linear(const std::vector<Real> &x, const std::vector<float> &weight, const std::vector<float> &bias,
                         std::int64_t inputs, std::int64_t outputs) {
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / inputs;
    std::vector<Real> by_input(weight.size());
    for (std::int64_t o = 0; o < outputs; ++o) {
        for (std::int64_t i = 0; i < inputs; ++i) {
            by_input[i * outputs + o] = weight[o * inputs + i];
        }
    }

    std::vector<Real> y(rows * outputs);
    for (std::int64_t r = 0; r < rows; ++r) {
        std::copy(bias.begin(), bias.end(), y.begin() + r * outputs);
    }

    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const Real *x0 = &x[r * inputs], *x1 = x0 + inputs, *x2 = x1 + inputs, *x3 = x2 + inputs;
        Real *y0 = &y[r * outputs], *y1 = y0 + outputs, *y2 = y1 + outputs, *y3 = y2 + outputs;
        for (std::int64_t i = 0; i < inputs; ++i) {
            const Real *w = &by_input[i * outputs];
            for (std::int64_t o = 0; o < outputs; ++o) {
                y0[o] += x0[i] * w[o];
                y1[o] += x1[i] * w[o];
                y2[o] += x2[i] * w[o];
                y3[o] += x3[i] * w[o];
            }
        }
    }
    for (; r < rows; ++r) {
        for (std::int64_t i = 0; i < inputs; ++i) {
            for (std::int64_t o = 0; o < outputs; ++o) {
                y[r * outputs + o] += x[r * inputs + i] * by_input[i * outputs + o];
            }
        }
    }
    return y;
}

/// Whether a projection picks inputs, so that it rounds nothing.
inline bool selects(const std::vector<float> &weight, const std::vector<float> &bias, std::int64_t inputs) {
    for (auto row = weight.begin(); row != weight.end(); row += inputs) {
        if (std::count(row, row + inputs, 0.0f) != inputs - 1 || std::count(row, row + inputs, 1.0f) != 1) {
            return false;
        }
    }
    return std::all_of(bias.begin(), bias.end(), [](float b) { return b == 0; });
}

/// The rows of one sample of a tensor: those that are listed.
template<typename Real>
std::vector<Real> rows_of(const TensorView<const float, 3> &tensor, std::int64_t sample,
                          const std::vector<std::int64_t> &rows) {
    std::vector<Real> values;
    for (const std::int64_t r : rows) {
        const float *row = tensor.data + sample * tensor.strides[0] + r * tensor.strides[1];
        values.insert(values.end(), row, row + tensor.extents[2]);
    }
    return values;
}

inline std::vector<std::int64_t> all_rows(std::int64_t count) {
    std::vector<std::int64_t> rows(count);
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

/// A tensor of one sample, and what its roundings are relative to: itself, or where a projection made it, the terms
/// that it sums, |x| |W| + |b|, however small it is itself.
template<typename Real>
struct Rounded {
    std::vector<Real> value, size;
};

template<typename Real>
void append(Rounded<Real> &to, const Rounded<Real> &from) {
    to.value.insert(to.value.end(), from.value.begin(), from.value.end());
    to.size.insert(to.size.end(), from.size.begin(), from.size.end());
}

template<typename Real>
Rounded<Real> exact(std::vector<Real> value) {
    std::vector<Real> size = absolute(value);
    return {std::move(value), std::move(size)};
}

template<typename Real>
Rounded<Real> projected(const std::vector<Real> &x, const std::vector<float> &weight, const std::vector<float> &bias,
                        std::int64_t inputs, std::int64_t outputs) {
    return {linear(x, weight, bias, inputs, outputs),
            linear(absolute(x), absolute(weight), absolute(bias), inputs, outputs)};
}

inline BiasRow bias_of_target(const PairBias &bias, std::int64_t target, std::int64_t sources, std::int64_t width) {
    BiasRow row{std::vector<double>(sources * width), width};
    for (std::int64_t s = 0; s < sources; ++s) {
        for (std::int64_t c = 0; c < width; ++c) {
            row.values[s * width + c] = bias(target, s, c);
        }
    }
    return row;
}

/// A value below FLT_MIN may be flushed to 0 wherever it appears.
template<typename Real>
Real smallest_size() {
    return std::numeric_limits<float>::min() / std::numeric_limits<float>::epsilon();
}

/// The size that the roundings of gate(Q) A are relative to. The relative error of an exponential is the absolute error
/// of its exponent. The error of the gate is its slope times that of the query:
///     size = |g| size(A) + |g'| |A| size(Q),  g = gate(Q),  size(A) = sum p (size(V) + |V| size(exponent))
template<typename Real>
Real gated_size(Gate gate, Real query, Real query_size, Real mean, Real mean_size) {
    return std::abs(gate_of(gate, query)) * mean_size + gate_slope(gate, query) * std::abs(mean) * query_size +
           smallest_size<Real>();
}

/// The part of a call that one sample sees.
struct Sample {
    const LayerConfig &config;
    PairBias bias;
    const std::vector<std::int64_t> &rows;  ///< of the targets
    std::int64_t sources;
    std::int64_t length;  ///< targets from here on have no result
};

/// Position of target 0, and the length of each sample's targets where they are its sources.
inline Sample sample_of(const LayerConfig &config, const Weights &weights, const Sight &sight, std::int64_t b,
                        const std::vector<std::int64_t> &rows, std::int64_t targets, std::int64_t sources,
                        bool is_self) {
    const std::int64_t first = config.form.is_causal() ? sources - targets : 0;
    const bool is_padded = is_self && sight.lengths.data;
    const std::int64_t length = is_padded ? sight.lengths.data[b * sight.lengths.strides[0]] : targets;
    return {config, pair_bias(config, weights, sight, b, first), rows, sources, length};
}

/// A call without a query may have the query's extents.
inline std::int64_t target_count(const CoreCall &call) {
    return call.query.extents[2] > 0 ? call.query.extents[1] : call.key.extents[1];
}

}  // namespace aft
