#include "reference.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>

namespace aft {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// How far float32 may be off, in units of epsilon times the scale that forward() derives. Calibrated on plain_forward,
/// not on the kernels: with 4, it stays below half of the tolerance on every test problem and on 900 random ones.
constexpr double roundings = 4;

template<typename Real>
Real largest_finite(const std::vector<Real> &values) {
    Real largest = 0;
    for (const Real value : values) {
        if (std::isfinite(value)) {
            largest = std::max(largest, std::abs(value));
        }
    }
    return largest;
}

template<typename Real>
void append(std::vector<Real> &to, const std::vector<Real> &from) {
    to.insert(to.end(), from.begin(), from.end());
}

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

/// K + w as a number and what its rounding left (Knuth's TwoSum): a key of 1e10 and a bias of 0.3 lose nothing. Both
/// are kept at an eighth, so that no sum overflows.
template<typename Real>
struct Score {
    Real high, low;

    Score(Real key, Real bias) {
        const Real a = key / 8, b = bias / 8;
        high = a + b;
        const Real of_b = high - a;
        low = std::isfinite(high) ? (a - (high - of_b)) + (b - of_b) : 0;
    }
    bool operator<(const Score &other) const {
        return high < other.high || (high == other.high && low < other.low);
    }
    Real operator-(const Score &other) const {
        return 8 * ((high - other.high) + (low - other.low));
    }
};

/// How uncertain the exponents of a channel's terms are, in epsilons: `any`, or for keys that are exact only as much as
/// the differences that exponents are, with the key's from its channel's maximum and the bias's from its row's. Those
/// are within twice max_bias_range of the score's from its maximum, or the term is far below the others.
template<typename Real>
struct ExponentSize {
    Real any = 0;
    bool exact_keys = false;

    Real of(Real difference) const {
        return exact_keys ? std::min(any, std::abs(difference) + 2 * Real(max_bias_range)) : any;
    }
};

/// mean = sum p V and mean_size = sum p (size + |V| size(exponent)) over the sources of one target, per channel.
/// bias: [sources].
template<typename Real>
void mean_of_target(const Real *key, const Real *value, const Real *size, const ExponentSize<Real> &exponent_size,
                    const std::vector<Real> &bias, std::int64_t channels, Real *mean, Real *mean_size) {
    const Real masked = -std::numeric_limits<Real>::infinity();
    const std::int64_t sources = static_cast<std::int64_t>(bias.size());
    std::vector<Score<Real>> maximum(channels, {masked, 0});
    std::vector<Real> denominator(channels, 0);
    for (std::int64_t s = 0; s < sources; ++s) {
        if (bias[s] != masked) {
            for (std::int64_t c = 0; c < channels; ++c) {
                maximum[c] = std::max(maximum[c], {key[s * channels + c], bias[s]});
            }
        }
    }

    std::fill_n(mean, channels, Real(0));
    std::fill_n(mean_size, channels, Real(0));
    for (std::int64_t s = 0; s < sources; ++s) {
        if (bias[s] != masked) {
            for (std::int64_t c = 0; c < channels; ++c) {
                const Score<Real> score(key[s * channels + c], bias[s]);
                if (score.high == masked) {
                    continue;
                }
                const Real difference = score - maximum[c], p = std::exp(difference), v = value[s * channels + c];
                denominator[c] += p;
                mean[c] += p * v;
                mean_size[c] += p * (size[s * channels + c] + std::abs(v) * exponent_size.of(difference));
            }
        }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
        if (denominator[c] != 0) {  // 0: every source is masked
            mean[c] /= denominator[c];
            mean_size[c] /= denominator[c];
        }
    }
}

/// Whether a projection picks inputs, so that it rounds nothing.
bool selects(const std::vector<float> &weight, const std::vector<float> &bias, std::int64_t inputs) {
    for (auto row = weight.begin(); row != weight.end(); row += inputs) {
        if (std::count(row, row + inputs, 0.0f) != inputs - 1 || std::count(row, row + inputs, 1.0f) != 1) {
            return false;
        }
    }
    return std::all_of(bias.begin(), bias.end(), [](float b) { return b == 0; });
}

template<typename Real>
std::vector<Real> bias_of_target(const PairBias &bias, std::int64_t target, std::int64_t sources) {
    std::vector<Real> row(sources);
    for (std::int64_t s = 0; s < sources; ++s) {
        row[s] = static_cast<Real>(bias(target, s));
    }
    return row;
}

/// The layer, and where `scale` isn't null, what the roundings of y are relative to. A projection is as uncertain as
/// the terms that it sums, |x| |W| + |b|, however small it is itself; an exponential, relatively, as its exponent is
/// absolutely; and the gate by a quarter of what the query is:
///     e = g sum p (size(V) + |V| (max size(K) + max |w|)) + g (1 - g) |A| size(Q),  g = sigmoid(Q)
/// Keys that a projection only picks aren't uncertain; see ExponentSize.
/// The channels' errors are independent of each other; the last product adds its own terms:
///     scale = sqrt(Wo^2 e^2) + |Wo| g |A| + |bo|
template<typename Real>
std::vector<Real> forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                          const Shape &shape, const std::vector<std::int64_t> &rows, std::vector<Real> *scale) {
    const std::int64_t T = shape.seq, H = config.hidden, P = config.projected;
    const PairBias bias = pair_bias(config, weights);
    std::vector<std::vector<Real>> bias_rows;
    Real largest_bias = 0;
    for (const std::int64_t t : rows) {
        bias_rows.push_back(bias_of_target<Real>(bias, t, T));
        largest_bias = std::max(largest_bias, largest_finite(bias_rows.back()));
    }
    const auto size_of = [&](const std::vector<Real> &input, const std::vector<float> &weight,
                             const std::vector<float> &b) {
        return linear(absolute(input), absolute(weight), absolute(b), H, P);
    };

    // A value below FLT_MIN may be flushed to 0 wherever it appears.
    const Real smallest = std::numeric_limits<float>::min() / std::numeric_limits<float>::epsilon();
    std::vector<Real> y;
    for (std::int64_t b = 0; b < shape.batch; ++b) {
        const std::vector<Real> sources(x.begin() + b * T * H, x.begin() + (b + 1) * T * H);
        std::vector<Real> targets;
        for (const std::int64_t t : rows) {
            targets.insert(targets.end(), sources.begin() + t * H, sources.begin() + (t + 1) * H);
        }

        const std::vector<Real> query = linear(targets, weights.query_weight, weights.query_bias, H, P);
        const std::vector<Real> key = linear(sources, weights.key_weight, weights.key_bias, H, P);
        const std::vector<Real> value = linear(sources, weights.value_weight, weights.value_bias, H, P);
        std::vector<Real> query_size(query.size()), value_size(value.size());
        ExponentSize<Real> exponent_size{0, selects(weights.key_weight, weights.key_bias, H)};
        if (scale) {
            query_size = size_of(targets, weights.query_weight, weights.query_bias);
            value_size = size_of(sources, weights.value_weight, weights.value_bias);
            exponent_size.any = largest_finite(size_of(sources, weights.key_weight, weights.key_bias)) + largest_bias;
        }
        std::vector<Real> gated(rows.size() * P), gated_size(rows.size() * P), mean(P), mean_size(P);
        for (std::size_t r = 0; r < rows.size(); ++r) {
            // Targets with the same biases have the same mean: all of AFTSimple's.
            if (r == 0 || bias_rows[r] != bias_rows[r - 1]) {
                mean_of_target(key.data(), value.data(), value_size.data(), exponent_size, bias_rows[r], P, mean.data(),
                               mean_size.data());
            }
            for (std::int64_t c = 0; c < P; ++c) {
                const Real gate = 1 / (1 + std::exp(-query[r * P + c]));
                gated[r * P + c] = gate * mean[c];
                gated_size[r * P + c] =
                    gate * mean_size[c] + gate * (1 - gate) * std::abs(mean[c]) * query_size[r * P + c] + smallest;
            }
        }
        append(y, linear(gated, weights.project_weight, weights.project_bias, P, H));
        if (scale) {
            std::vector<Real> own =
                linear(absolute(gated), absolute(weights.project_weight), absolute(weights.project_bias), P, H);
            const std::vector<Real> variance = linear(squared(gated_size), squared(weights.project_weight), {}, P, H);
            for (std::size_t i = 0; i < own.size(); ++i) {
                own[i] += std::sqrt(variance[i]);
            }
            append(*scale, own);
        }
    }
    return y;
}

std::vector<std::int64_t> all_if_empty(std::vector<std::int64_t> rows, std::int64_t seq) {
    if (rows.empty()) {
        rows.resize(seq);
        std::iota(rows.begin(), rows.end(), 0);
    }
    return rows;
}

}  // namespace

Reference reference_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                            const Shape &shape, std::vector<std::int64_t> rows) {
    Reference reference;
    reference.output =
        forward<double>(config, weights, x, shape, all_if_empty(std::move(rows), shape.seq), &reference.tolerance);
    for (double &tolerance : reference.tolerance) {
        tolerance *= roundings * std::numeric_limits<float>::epsilon();
    }
    return reference;
}

std::vector<float> plain_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                                 const Shape &shape, std::vector<std::int64_t> rows) {
    return forward<float>(config, weights, x, shape, all_if_empty(std::move(rows), shape.seq), nullptr);
}

double error_in_tolerances(const Reference &reference, const std::vector<float> &actual) {
    if (actual.size() != reference.output.size()) {
        return infinity;
    }
    double largest = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = std::abs(actual[i] - reference.output[i]);
        if (!(error <= largest * reference.tolerance[i])) {
            largest = std::isnan(error) ? infinity : error / reference.tolerance[i];
        }
    }
    return largest;
}

double allowed_tolerances(const KernelInfo &kernel) {
    return kernel.storage == "bfloat16" ? 32768 : 1;
}

Weights as_stored(const KernelInfo &kernel, Weights weights) {
    if (kernel.storage == "bfloat16") {
        for (std::vector<float> *matrix :
             {&weights.query_weight, &weights.key_weight, &weights.value_weight, &weights.project_weight}) {
            for (float &value : *matrix) {
                std::uint32_t bits;
                std::memcpy(&bits, &value, sizeof bits);
                bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;  // to the nearest, to even
                std::memcpy(&value, &bits, sizeof bits);
            }
        }
    }
    return weights;
}

std::vector<double> reference_linear(const std::vector<double> &x, const std::vector<float> &weight,
                                     const std::vector<float> &bias, std::int64_t inputs, std::int64_t outputs) {
    return linear(x, weight, bias, inputs, outputs);
}

WeightedMean reference_mean(const std::vector<double> &key, const std::vector<double> &value, std::int64_t channels,
                            std::int64_t targets, const PairBias &bias) {
    const std::int64_t sources = static_cast<std::int64_t>(key.size()) / channels;
    const std::vector<double> size = absolute(value);
    WeightedMean result{std::vector<double>(targets * channels), std::vector<double>(targets * channels)};
    for (std::int64_t t = 0; t < targets; ++t) {
        mean_of_target(key.data(), value.data(), size.data(), ExponentSize<double>(),
                       bias_of_target<double>(bias, t, sources), channels, &result.value[t * channels],
                       &result.magnitude[t * channels]);
    }
    return result;
}

}  // namespace aft
