#include "reference.h"

#include "reference/quantised.h"
#include "reference/sample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>

namespace aft {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// How far float32 may be off, in units of epsilon times the sizes that core() and layer() derive. Calibrated on
/// plain_layer() and plain_core(), not on the kernels: with 4, they stay below half of the tolerance on every test
/// problem and on 1900 random ones.
constexpr double roundings = 4;

/// log 2^24: so far above log W a kernel's exponents may be, and they round as the largest of them does.
constexpr double largest_reference = 16.7;

/// The gated mean of one sample, [rows, P]. `query` is empty if the layer has none.
template<typename Real>
Rounded<Real> gated_mean(const Sample &sample, const Rounded<Real> &query, const MeanInput<Real> &sources) {
    const std::int64_t P = sample.config.projected, width = sample.config.form.varies_by_channel() ? P : 1;
    const Gate gate = sample.config.form.gate;
    const std::size_t count = sample.rows.size() * P;
    Rounded<Real> gated{std::vector<Real>(count), std::vector<Real>(count)};
    std::vector<Real> mean(P), magnitude(P), mean_size(P);
    BiasRow known;
    for (std::size_t r = 0; r < sample.rows.size(); ++r) {
        if (sample.rows[r] >= sample.length) {
            continue;
        }
        BiasRow row = bias_of_target(sample.bias, sample.rows[r], sample.sources, width);
        // Targets with the same biases have the same mean: all of AFTSimple's.
        if (r == 0 || row.values != known.values) {
            mean_of_target(sources, row, P, mean.data(), magnitude.data(), mean_size.data());
            known = std::move(row);
        }
        for (std::int64_t c = 0; c < P; ++c) {
            const std::size_t i = r * P + c;
            const Real q = query.value.empty() ? 0 : query.value[i], q_size = query.size.empty() ? 0 : query.size[i];
            gated.value[i] = gate_of(gate, q) * mean[c];
            gated.size[i] = gated_size(gate, q, q_size, mean[c], mean_size[c]);
        }
    }
    return gated;
}

/// A whole call, and what the roundings of y are relative to.
template<typename Real>
Rounded<Real> core(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                   const std::vector<std::int64_t> &rows) {
    const std::int64_t m = call.key.extents[1], n = target_count(call);
    Rounded<Real> y;
    for (std::int64_t b = 0; b < call.key.extents[0]; ++b) {
        const Sample sample = sample_of(config, weights, call.sight, b, rows, n, m, config.form.is_causal() && n == m);
        Rounded<Real> query;
        if (config.form.has_query()) {
            query = exact(rows_of<Real>(call.query, b, rows));
        }
        const Rounded<Real> key = exact(rows_of<Real>(call.key, b, all_rows(m)));
        const Rounded<Real> value = exact(rows_of<Real>(call.value, b, all_rows(m)));
        const Rounded<Real> gated =
            gated_mean(sample, query, MeanInput<Real>{key.value, value.value, key.size, value.size, true});
        append(y, gated);
    }
    return y;
}

/// Half a unit of each row in int16, in roundings of float32.
template<typename Real>
std::vector<Real> halves_of_units(std::vector<Real> rows, std::int64_t length) {
    constexpr Real halves = 0.5 / units_of_inputs / (roundings * std::numeric_limits<float>::epsilon());
    for (auto row = rows.begin(); row != rows.end(); row += length) {
        Real largest = 0;
        std::for_each(row, row + length, [&](Real value) { largest = std::max(largest, std::abs(value)); });
        std::fill(row, row + length, halves * largest);
    }
    return rows;
}

/// A projection that only picks inputs leaves its keys exact. The channels' errors are independent of each other; the
/// last product adds its own terms:
///     size = sqrt(Wo^2 size(gated)^2) + |Wo| |gated| + |bo|
/// in_int8: the weights and inputs are whole units already, so that no projection picks inputs exactly. The gated
/// values are off by half a unit of their row at most:
///     size += |Wo| (max |gated| / 2 units) / (roundings epsilon)
template<typename Real>
Rounded<Real> layer(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                    const std::vector<std::int64_t> &rows, bool in_int8 = false) {
    const std::int64_t H = config.hidden, P = config.projected, n = call.query.extents[1];
    const TensorView<const float, 3> key_input = call.key.data ? call.key : call.query;
    const TensorView<const float, 3> value_input = call.value.data ? call.value : key_input;
    const std::int64_t m = key_input.extents[1], key_inputs = key_input.extents[2];
    const bool exact_keys = !in_int8 && selects(weights.key_weight, weights.key_bias, key_inputs);
    Rounded<Real> y;
    for (std::int64_t b = 0; b < call.query.extents[0]; ++b) {
        const Sample sample = sample_of(config, weights, call.sight, b, rows, n, m, !call.key.data);
        Rounded<Real> query;
        if (config.form.has_query()) {
            query = projected(rows_of<Real>(call.query, b, rows), weights.query_weight, weights.query_bias, H, P);
        }
        const Rounded<Real> key =
            projected(rows_of<Real>(key_input, b, all_rows(m)), weights.key_weight, weights.key_bias, key_inputs, P);
        const Rounded<Real> value = projected(rows_of<Real>(value_input, b, all_rows(m)), weights.value_weight,
                                              weights.value_bias, value_input.extents[2], P);
        const Rounded<Real> gated =
            gated_mean(sample, query, MeanInput<Real>{key.value, value.value, key.size, value.size, exact_keys});
        if (weights.project_weight.empty()) {
            append(y, gated);
            continue;
        }
        Rounded<Real> output = projected(gated.value, weights.project_weight, weights.project_bias, P, H);
        const std::vector<Real> variance = linear(squared(gated.size), squared(weights.project_weight), {}, P, H);
        for (std::size_t i = 0; i < output.size.size(); ++i) {
            const bool has_result = rows[i / H] < sample.length;
            output.value[i] = has_result ? output.value[i] : 0;
            output.size[i] = has_result ? output.size[i] + std::sqrt(variance[i]) : 0;
        }
        if (in_int8) {
            const std::vector<Real> more =
                linear(halves_of_units(gated.value, P), absolute(weights.project_weight), {}, P, H);
            for (std::size_t i = 0; i < output.size.size(); ++i) {
                output.size[i] += rows[i / H] < sample.length ? more[i] : 0;
            }
        }
        append(y, output);
    }
    return y;
}

Reference with_tolerance(Rounded<double> y) {
    for (double &size : y.size) {
        size *= roundings * std::numeric_limits<float>::epsilon();
    }
    return {std::move(y.value), std::move(y.size)};
}

std::vector<std::int64_t> all_if_empty(std::vector<std::int64_t> rows, std::int64_t count) {
    return rows.empty() ? all_rows(count) : rows;
}

}  // namespace

LayerCall call_with(const LayerConfig &config, const std::vector<float> &x, const Shape &shape) {
    LayerCall call;
    call.query = {x.data(), {shape.batch, shape.seq, config.hidden}};
    return call;
}

Reference reference_layer(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                          std::vector<std::int64_t> rows) {
    return with_tolerance(layer<double>(config, weights, call, all_if_empty(std::move(rows), call.query.extents[1])));
}

Reference reference_in_int8(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                            std::vector<std::int64_t> rows) {
    const QuantisedCall inputs(call);
    return with_tolerance(layer<double>(config, quantised(weights, config), inputs.call,
                                        all_if_empty(std::move(rows), call.query.extents[1]), true));
}

Expected expected_layer(const KernelInfo &kernel, const LayerConfig &config, const Weights &weights,
                        const LayerCall &call, std::vector<std::int64_t> rows) {
    if (kernel.storage == "int8") {
        return {reference_in_int8(config, weights, call, std::move(rows)), 1};
    }
    return {reference_layer(config, weights, call, std::move(rows)), allowed_tolerances(kernel)};
}

Reference reference_core(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                         std::vector<std::int64_t> rows) {
    return with_tolerance(core<double>(config, weights, call, all_if_empty(std::move(rows), target_count(call))));
}

Reference reference_log_weights(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                                std::int64_t targets) {
    const std::int64_t m = call.key.extents[1], P = config.projected;
    const std::vector<std::int64_t> rows = all_rows(targets);
    const std::vector<double> ones(m * P, 1), zeros(m * P);
    constexpr double largest = std::numeric_limits<float>::max();
    Rounded<double> logs;
    for (std::int64_t b = 0; b < call.key.extents[0]; ++b) {
        const Sample sample =
            sample_of(config, weights, call.sight, b, rows, targets, m, config.form.is_causal() && targets == m);
        const Rounded<double> key = exact(rows_of<double>(call.key, b, all_rows(m)));
        const MeanInput<double> sources{key.value, ones, key.size, zeros, true};
        std::vector<double> mean(P), magnitude(P), size(P), log(P);
        for (const std::int64_t i : rows) {
            mean_of_target(sources, bias_of_target(sample.bias, i, m, 1), P, mean.data(), magnitude.data(), size.data(),
                           log.data());
            for (std::int64_t c = 0; c < P; ++c) {
                const bool is_visible = i < sample.length && log[c] != -infinity;
                logs.value.push_back(is_visible ? std::clamp(log[c], -largest, largest) : -infinity);
                logs.size.push_back(is_visible ? std::abs(logs.value.back()) + size[c] + largest_reference : 0);
            }
        }
    }
    return with_tolerance(std::move(logs));
}

Reference reference_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                            const Shape &shape, std::vector<std::int64_t> rows) {
    return reference_layer(config, weights, call_with(config, x, shape), std::move(rows));
}

Reference reference_projection(const LayerConfig &config, const Weights &weights, TensorView<const float, 3> x,
                               std::vector<std::int64_t> rows) {
    rows = all_if_empty(std::move(rows), x.extents[1]);
    Rounded<double> y;
    for (std::int64_t b = 0; b < x.extents[0]; ++b) {
        const Rounded<double> sample = projected(rows_of<double>(x, b, rows), weights.query_weight, weights.query_bias,
                                                 config.hidden, config.projected);
        append(y, sample);
    }
    return with_tolerance(std::move(y));
}

std::vector<float> plain_layer(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                               std::vector<std::int64_t> rows) {
    return layer<float>(config, weights, call, all_if_empty(std::move(rows), call.query.extents[1])).value;
}

std::vector<float> plain_core(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                              std::vector<std::int64_t> rows) {
    return core<float>(config, weights, call, all_if_empty(std::move(rows), target_count(call))).value;
}

std::vector<float> plain_forward(const LayerConfig &config, const Weights &weights, const std::vector<float> &x,
                                 const Shape &shape, std::vector<std::int64_t> rows) {
    return plain_layer(config, weights, call_with(config, x, shape), std::move(rows));
}

Reference sum_of_samples(const Reference &each, std::int64_t samples) {
    const std::size_t size = each.output.size() / static_cast<std::size_t>(std::max<std::int64_t>(samples, 1));
    Reference sum{std::vector<double>(size), std::vector<double>(size)};
    for (std::size_t i = 0; i < each.output.size(); ++i) {
        sum.output[i % size] += each.output[i];
        sum.tolerance[i % size] += each.tolerance[i];
    }
    return sum;
}

double error_in_tolerances(const Reference &reference, const std::vector<float> &actual) {
    if (actual.size() != reference.output.size()) {
        return infinity;
    }
    double largest = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = actual[i] == reference.output[i] ? 0 : std::abs(actual[i] - reference.output[i]);
        if (!(error <= largest * reference.tolerance[i])) {
            largest = std::isnan(error) ? infinity : error / reference.tolerance[i];
        }
    }
    return largest;
}

double allowed_tolerances(const KernelInfo &kernel) {
    return kernel.storage == "bfloat16" ? 32768 : kernel.storage == "int8" ? 131072 : 1;
}

std::vector<double> reference_linear(const std::vector<double> &x, const std::vector<float> &weight,
                                     const std::vector<float> &bias, std::int64_t inputs, std::int64_t outputs) {
    return linear(x, weight, bias, inputs, outputs);
}

WeightedMean reference_mean(const std::vector<double> &key, const std::vector<double> &value, std::int64_t channels,
                            std::int64_t targets, const PairBias &bias) {
    const std::int64_t sources = static_cast<std::int64_t>(key.size()) / channels;
    const MeanInput<double> input{key, value, absolute(key), absolute(value), true};
    WeightedMean result{std::vector<double>(targets * channels), std::vector<double>(targets * channels)};
    for (std::int64_t t = 0; t < targets; ++t) {
        mean_of_target<double>(input, bias_of_target(bias, t, sources, channels), channels, &result.value[t * channels],
                               &result.magnitude[t * channels], nullptr);
    }
    return result;
}

}  // namespace aft
