#include "reference.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

namespace aft {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// How far float32 may be off, in units of epsilon times the sum of absolute values that y is made of. The sums over T
/// and over H and P add little where the signs of their roundings are random; but a key or value of H terms may be
/// small against its terms, and only the mean over P channels makes up for that. Calibrated: plain_forward stays below
/// half of it on every test problem.
double roundings(const LayerConfig &config) {
    return 6 * std::sqrt(1 + static_cast<double>(config.hidden) / static_cast<double>(config.projected));
}

template<typename Real>
Real largest_finite(const std::vector<Real> &values) {
    Real largest = 0;
    for (const Real value : values)
        if (std::isfinite(value))
            largest = std::max(largest, std::abs(value));
    return largest;
}

template<typename Real>
void append(std::vector<Real> &to, const std::vector<Real> &from) {
    to.insert(to.end(), from.begin(), from.end());
}

template<typename Real>
std::vector<Real> absolute(std::vector<Real> values) {
    for (Real &value : values)
        value = std::abs(value);
    return values;
}

/// The inner loop runs over outputs, so that the compiler vectorises it without reordering a sum; four rows share each
/// weight that is loaded.
template<typename Real>
std::vector<Real> linear(const std::vector<Real> &x, const std::vector<float> &weight, const std::vector<float> &bias,
                         std::int64_t inputs, std::int64_t outputs) {
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / inputs;
    std::vector<Real> by_input(weight.size());
    for (std::int64_t o = 0; o < outputs; ++o)
        for (std::int64_t i = 0; i < inputs; ++i)
            by_input[i * outputs + o] = weight[o * inputs + i];

    std::vector<Real> y(rows * outputs);
    for (std::int64_t r = 0; r < rows; ++r)
        std::copy(bias.begin(), bias.end(), y.begin() + r * outputs);

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
    for (; r < rows; ++r)
        for (std::int64_t i = 0; i < inputs; ++i)
            for (std::int64_t o = 0; o < outputs; ++o)
                y[r * outputs + o] += x[r * inputs + i] * by_input[i * outputs + o];
    return y;
}

/// mean = sum p V and magnitude = sum p |V| over the sources of one target, per channel. bias: [sources].
template<typename Real>
void mean_of_target(const Real *key, const Real *value, const std::vector<Real> &bias, std::int64_t channels,
                    Real *mean, Real *magnitude) {
    const Real masked = -std::numeric_limits<Real>::infinity();
    const std::int64_t sources = static_cast<std::int64_t>(bias.size());
    std::vector<Real> maximum(channels, masked), denominator(channels, 0);
    for (std::int64_t s = 0; s < sources; ++s)
        if (bias[s] != masked)
            for (std::int64_t c = 0; c < channels; ++c)
                maximum[c] = std::max(maximum[c], key[s * channels + c] + bias[s]);

    std::fill_n(mean, channels, Real(0));
    std::fill_n(magnitude, channels, Real(0));
    for (std::int64_t s = 0; s < sources; ++s)
        if (bias[s] != masked)
            for (std::int64_t c = 0; c < channels; ++c) {
                const Real logit = key[s * channels + c] + bias[s];
                if (logit == masked)
                    continue;
                const Real p = std::exp(logit - maximum[c]);
                denominator[c] += p;
                mean[c] += p * value[s * channels + c];
                magnitude[c] += p * std::abs(value[s * channels + c]);
            }
    for (std::int64_t c = 0; c < channels; ++c)
        if (denominator[c] != 0) {  // 0: every source is masked
            mean[c] /= denominator[c];
            magnitude[c] /= denominator[c];
        }
}

template<typename Real>
std::vector<Real> bias_of_target(const PositionBias &bias, std::int64_t target, std::int64_t sources) {
    std::vector<Real> row(sources);
    for (std::int64_t s = 0; s < sources; ++s)
        row[s] = static_cast<Real>(bias(target, s));
    return row;
}

/// The layer, and where `scale` isn't null, what the roundings of y are relative to: the sum of the absolute values
/// that it is made of, |Wo| sigmoid(Q) sum p |V| + |bo|, where p is the more uncertain the larger its exponents are.
template<typename Real>
std::vector<Real> forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                          const Shape &shape, const std::vector<std::int64_t> &rows, std::vector<Real> *scale) {
    const std::int64_t T = shape.seq, H = config.hidden, P = config.projected;
    const PositionBias bias = position_bias(config, weights);
    std::vector<std::vector<Real>> bias_rows;
    for (const std::int64_t t : rows)
        bias_rows.push_back(bias_of_target<Real>(bias, t, T));

    // What is below FLT_MIN may be flushed to 0 wherever it appears.
    const Real smallest = std::numeric_limits<float>::min() / std::numeric_limits<float>::epsilon();
    std::vector<Real> y;
    for (std::int64_t b = 0; b < shape.batch; ++b) {
        const std::vector<Real> sources(x.begin() + b * T * H, x.begin() + (b + 1) * T * H);
        std::vector<Real> targets;
        for (const std::int64_t t : rows)
            targets.insert(targets.end(), sources.begin() + t * H, sources.begin() + (t + 1) * H);

        const std::vector<Real> query = linear(targets, weights.query_weight, weights.query_bias, H, P);
        const std::vector<Real> key = linear(sources, weights.key_weight, weights.key_bias, H, P);
        const std::vector<Real> value = linear(sources, weights.value_weight, weights.value_bias, H, P);
        const Real largest_key = largest_finite(key);
        std::vector<Real> gated(rows.size() * P), gated_size(rows.size() * P), mean(P), size(P);
        for (std::size_t r = 0; r < rows.size(); ++r) {
            // AFTSimple's mean is the same for every target.
            if (r == 0 || config.kind != LayerKind::simple)
                mean_of_target(key.data(), value.data(), bias_rows[r], P, mean.data(), size.data());
            const Real largest_bias = largest_finite(bias_rows[r]);
            for (std::int64_t c = 0; c < P; ++c) {
                const Real gate = 1 / (1 + std::exp(-query[r * P + c]));
                gated[r * P + c] = gate * mean[c];
                gated_size[r * P + c] = gate * size[c] * (1 + (largest_key + largest_bias) / 16) + smallest;
            }
        }
        append(y, linear(gated, weights.project_weight, weights.project_bias, P, H));
        if (scale)
            append(*scale, linear(gated_size, absolute(weights.project_weight), absolute(weights.project_bias), P, H));
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
    for (double &tolerance : reference.tolerance)
        tolerance *= roundings(config) * std::numeric_limits<float>::epsilon();
    return reference;
}

std::vector<float> plain_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                                 const Shape &shape, std::vector<std::int64_t> rows) {
    return forward<float>(config, weights, x, shape, all_if_empty(std::move(rows), shape.seq), nullptr);
}

double error_in_tolerances(const Reference &reference, const std::vector<float> &actual) {
    if (actual.size() != reference.output.size())
        return infinity;
    double largest = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = std::abs(actual[i] - reference.output[i]);
        if (!(error <= largest * reference.tolerance[i]))
            largest = std::isnan(error) ? infinity : error / reference.tolerance[i];
    }
    return largest;
}

std::vector<double> reference_linear(const std::vector<double> &x, const std::vector<float> &weight,
                                     const std::vector<float> &bias, std::int64_t inputs, std::int64_t outputs) {
    return linear(x, weight, bias, inputs, outputs);
}

WeightedMean reference_mean(const std::vector<double> &key, const std::vector<double> &value, std::int64_t channels,
                            std::int64_t targets, const PositionBias &bias) {
    const std::int64_t sources = static_cast<std::int64_t>(key.size()) / channels;
    WeightedMean result{std::vector<double>(targets * channels), std::vector<double>(targets * channels)};
    for (std::int64_t t = 0; t < targets; ++t)
        mean_of_target(key.data(), value.data(), bias_of_target<double>(bias, t, sources), channels,
                       &result.value[t * channels], &result.magnitude[t * channels]);
    return result;
}

PositionBias position_bias(const LayerConfig &config, const Weights &weights) {
    if (config.kind == LayerKind::simple)
        return [](std::int64_t, std::int64_t) { return 0.0; };
    const std::int64_t window = config.kind == LayerKind::local ? config.window : config.max_seq_len;
    return [&w = weights.position_bias, S = config.max_seq_len, window](std::int64_t target, std::int64_t source) {
        return std::abs(target - source) < window ? static_cast<double>(w[target * S + source]) : 0.0;
    };
}

}  // namespace aft
