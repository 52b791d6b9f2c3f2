#include "gradients.h"

#include "reference/sample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace aft {
namespace {

/// How far float32 may be off, in units of epsilon times the sizes below: the same as for results. Checked on
/// plain_gradients() and plain_core_gradients(), not on the kernels: they stay below half of the tolerance
/// (tests/gradients_test.cpp).
constexpr double roundings = 4;

/// Sums of terms, each with what its own roundings are relative to.
template<typename Real>
struct Sums : Rounded<Real> {
    explicit Sums(std::int64_t count) : Rounded<Real>{std::vector<Real>(count), std::vector<Real>(count)} {}

    void add(std::int64_t at, Real term, Real size) {
        this->value[at] += term;
        this->size[at] += size;
    }
    void add(std::int64_t at, const Rounded<Real> &terms) {
        for (std::size_t i = 0; i < terms.value.size(); ++i) {
            add(at + static_cast<std::int64_t>(i), terms.value[i], terms.size[i]);
        }
    }
};

/// The gradients of what all samples share.
template<typename Real>
struct Shared {
    Sums<Real> position_bias, decay, bonus;

    Shared(const LayerConfig &config, const Weights &weights, const Sight &sight)
        : position_bias(config.form.takes_bias() ? count(sight.position_bias)
                                                 : static_cast<std::int64_t>(weights.position_bias.size())),
          decay(config.form.has_decay() ? config.projected : 0), bonus(config.form.has_decay() ? config.projected : 0) {
    }

private:
    static std::int64_t count(const TensorView<const float, 3> &tensor) {
        return tensor.extents[0] * tensor.extents[1] * tensor.extents[2];
    }
};

/// Adds dL/dw of a pair to the gradient of the parameter that w is made of.
template<typename Real>
void add_bias_gradient(const BiasParameter &of, Real gradient, Real size, Shared<Real> &shared) {
    const Real factor = static_cast<Real>(of.factor);
    switch (of.tensor) {
        case BiasParameter::none: return;
        case BiasParameter::position_bias:
            shared.position_bias.add(of.index, factor * gradient, std::abs(factor) * size);
            return;
        case BiasParameter::decay: shared.decay.add(of.index, factor * gradient, std::abs(factor) * size); return;
        case BiasParameter::bonus: shared.bonus.add(of.index, factor * gradient, std::abs(factor) * size); return;
    }
}

/// The mean of one sample, and its gradients.
template<typename Real>
struct MeanGradients {
    Rounded<Real> gated;  // gate(Q) A
    Sums<Real> query, key, value;
};

/// g = dL/d(gate(Q) A), [n, P]. An exponential is relatively as uncertain as its exponent u is absolutely, and its sum
/// as their mean, so that by the rules of products and sums
///     size(h) = |gate(Q)| (size(g) + |g|) + |gate'(Q)| size(Q) |g|
///     size(p h) = p (size(h) + |h| (u + sum p u))
///     size(p h (V - A)) = size(p h) (|V| + |A|) + p |h| (size(V) + size(A))
///     size(dQ) = |gate'(Q)| (|A| (size(g) + |g| (1 + 2 size(Q))) + |g| size(A)),  as |gate''| <= 2 |gate'|
template<typename Real>
MeanGradients<Real> mean_gradients(const Sample &sample, const Sight &sight, std::int64_t b, std::int64_t first,
                                   const Rounded<Real> &query, const MeanInput<Real> &in, const Rounded<Real> &g,
                                   Shared<Real> &shared) {
    const LayerConfig &config = sample.config;
    const std::int64_t P = config.projected, width = config.form.varies_by_channel() ? P : 1;
    const std::int64_t n = static_cast<std::int64_t>(sample.rows.size()), m = sample.sources;
    const Real smallest = smallest_size<Real>();
    const Gate gate = config.form.gate;
    MeanGradients<Real> result{{std::vector<Real>(n * P), std::vector<Real>(n * P)},
                               Sums<Real>(n * P),
                               Sums<Real>(m * P),
                               Sums<Real>(m * P)};
    std::vector<Real> mean(P), magnitude(P), mean_size(P);
    for (std::int64_t i = 0; i < std::min(n, sample.length); ++i) {
        const BiasRow bias = bias_of_target(sample.bias, i, m, width);
        mean_of_target(in, bias, P, mean.data(), magnitude.data(), mean_size.data());
        const ExponentSize<Real> exponent_size(in, bias, P);
        for (std::int64_t c = 0; c < P; ++c) {
            const std::int64_t at = i * P + c;
            const Real q = query.value.empty() ? 0 : query.value[at], q_size = query.size.empty() ? 0 : query.size[at];
            const Real factor = gate_of(gate, q), slope = gate_slope(gate, q), A = mean[c];
            result.gated.value[at] = factor * A;
            result.gated.size[at] = gated_size(gate, q, q_size, A, mean_size[c]);
            result.query.add(at, g.value[at] * A * slope,
                             slope * (std::abs(A) * (g.size[at] + std::abs(g.value[at]) * (1 + 2 * q_size)) +
                                      std::abs(g.value[at]) * mean_size[c]) +
                                 smallest);
            const Real h = factor * g.value[at];
            const Real h_size =
                std::abs(factor) * (g.size[at] + std::abs(g.value[at])) + slope * q_size * std::abs(g.value[at]);

            const auto is_visible = [&](std::int64_t j) {
                return !bias.hides(j, c) && !(in.key[j * P + c] == -std::numeric_limits<Real>::infinity());
            };
            Score<Real> maximum;
            for (std::int64_t j = 0; j < m; ++j) {
                if (is_visible(j)) {
                    maximum = std::max(maximum, {in.key[j * P + c], bias.at(j, c)});
                }
            }
            std::vector<Real> weight(m), uncertain(m);
            Real sum = 0, sum_size = 0;
            for (std::int64_t j = 0; j < m; ++j) {
                if (is_visible(j)) {
                    const Real difference = Score<Real>(in.key[j * P + c], bias.at(j, c)) - maximum;
                    weight[j] = std::exp(difference);
                    uncertain[j] = exponent_size.of(difference, bias.at(j, c));
                    sum += weight[j];
                    sum_size += weight[j] * uncertain[j];
                }
            }
            for (std::int64_t j = 0; j < m; ++j) {
                if (!is_visible(j)) {
                    continue;
                }
                const std::int64_t source = j * P + c;
                const Real p = weight[j] / sum, v = in.value[source];
                const Real product = p * h, product_size = p * (h_size + std::abs(h) * (uncertain[j] + sum_size / sum));
                result.value.add(source, product, product_size + smallest);
                const Real terms = std::abs(v) + std::abs(A);
                const Real score = product * (v - A),
                           score_size = product_size * terms +
                                        p * std::abs(h) * (in.value_size[source] + mean_size[c]) +
                                        smallest * (1 + terms);
                result.key.add(source, score, score_size);
                add_bias_gradient(bias_parameter(config, sight, b, first, i, j, c), score, score_size, shared);
            }
        }
    }
    return result;
}

/// The gradients of y = x W^T + b, [rows, inputs] to [rows, outputs], by dy: of W and of b, and dL/dx. Rows of x that
/// touch nothing have dy = 0 and aren't read.
template<typename Real>
struct ProjectionGradients {
    Sums<Real> weight, bias;

    ProjectionGradients(std::int64_t inputs, std::int64_t outputs) : weight(inputs * outputs), bias(outputs) {}

    void add(const Rounded<Real> &x, const Rounded<Real> &dy, std::int64_t inputs, std::int64_t outputs) {
        const std::int64_t rows = static_cast<std::int64_t>(dy.value.size()) / std::max<std::int64_t>(outputs, 1);
        for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t o = 0; o < outputs; ++o) {
                const Real d = dy.value[r * outputs + o], d_size = dy.size[r * outputs + o];
                if (d == 0 && d_size == 0) {
                    continue;
                }
                bias.add(o, d, d_size + std::abs(d));
                for (std::int64_t i = 0; i < inputs; ++i) {
                    const Real value = x.value[r * inputs + i];
                    weight.add(o * inputs + i, d * value,
                               (d_size + std::abs(d)) * std::abs(value) + std::abs(d) * x.size[r * inputs + i]);
                }
            }
        }
    }
    static Rounded<Real> input(const Rounded<Real> &dy, const std::vector<float> &weight, std::int64_t inputs,
                               std::int64_t outputs) {
        std::vector<float> transposed(weight.size());
        for (std::int64_t o = 0; o < outputs; ++o) {
            for (std::int64_t i = 0; i < inputs; ++i) {
                transposed[i * outputs + o] = weight[o * inputs + i];
            }
        }
        std::vector<Real> sizes(dy.value.size());
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            sizes[i] = dy.size[i] + std::abs(dy.value[i]);
        }
        return {linear(dy.value, transposed, {}, outputs, inputs),
                linear(sizes, absolute(transposed), {}, outputs, inputs)};
    }
};

Reference with_tolerance(const Rounded<double> &sums) {
    Reference result{sums.value, sums.size};
    for (double &size : result.tolerance) {
        size *= roundings * std::numeric_limits<float>::epsilon();
    }
    return result;
}
/// Plain float32's, without a tolerance.
Reference with_tolerance(const Rounded<float> &sums) {
    return {{sums.value.begin(), sums.value.end()}, {}};
}

/// The gradients of the inputs, and those of what all samples share.
template<typename Real>
Gradients gradients_of(const Rounded<Real> &query, const Rounded<Real> &key, const Rounded<Real> &value,
                       const Shared<Real> &shared) {
    Gradients result;
    result.query = with_tolerance(query);
    result.key = with_tolerance(key);
    result.value = with_tolerance(value);
    result.position_bias = with_tolerance(shared.position_bias);
    result.decay = with_tolerance(shared.decay);
    result.bonus = with_tolerance(shared.bonus);
    return result;
}

/// The rows of dy of one sample, in order.
template<typename Real>
Rounded<Real> sample_of_output(const std::vector<float> &dy, std::int64_t sample, std::int64_t size) {
    const auto begin = dy.begin() + sample * size;
    std::vector<Real> values(begin, begin + size);
    return {values, std::vector<Real>(values.size())};
}

template<typename Real>
Gradients core_gradients(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                         const std::vector<float> &dy) {
    const std::int64_t m = call.key.extents[1], n = target_count(call), P = config.projected;
    const std::int64_t first = config.form.is_causal() ? m - n : 0;
    const std::vector<std::int64_t> rows = all_rows(n);
    Shared<Real> shared(config, weights, call.sight);
    Rounded<Real> query, key, value;
    for (std::int64_t b = 0; b < call.key.extents[0]; ++b) {
        const Sample sample = sample_of(config, weights, call.sight, b, rows, n, m, config.form.is_causal() && n == m);
        Rounded<Real> q;
        if (config.form.has_query()) {
            q = exact(rows_of<Real>(call.query, b, rows));
        }
        const Rounded<Real> k = exact(rows_of<Real>(call.key, b, all_rows(m))),
                            v = exact(rows_of<Real>(call.value, b, all_rows(m)));
        const MeanGradients<Real> gradients =
            mean_gradients(sample, call.sight, b, first, q, {k.value, v.value, k.size, v.size, true},
                           sample_of_output<Real>(dy, b, n * P), shared);
        if (config.form.has_query()) {
            append<Real>(query, gradients.query);
        }
        append<Real>(key, gradients.key);
        append<Real>(value, gradients.value);
    }
    return gradients_of(query, key, value, shared);
}

template<typename Real>
Gradients layer_gradients(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                          const std::vector<float> &dy) {
    const std::int64_t H = config.hidden, P = config.projected, n = call.query.extents[1];
    const TensorView<const float, 3> key_input = call.key.data ? call.key : call.query;
    const TensorView<const float, 3> value_input = call.value.data ? call.value : key_input;
    const std::int64_t m = key_input.extents[1], key_inputs = key_input.extents[2],
                       value_inputs = value_input.extents[2];
    const std::int64_t first = config.form.is_causal() ? m - n : 0;
    const bool exact_keys = selects(weights.key_weight, weights.key_bias, key_inputs);
    const bool has_output = !weights.project_weight.empty(), has_query = config.form.has_query();
    const std::vector<std::int64_t> rows = all_rows(n), sources = all_rows(m);

    Shared<Real> shared(config, weights, call.sight);
    ProjectionGradients<Real> of_query(has_query ? H : 0, has_query ? P : 0), of_key(key_inputs, P),
        of_value(value_inputs, P), of_output(has_output ? P : 0, has_output ? H : 0);
    Rounded<Real> query, key, value;
    for (std::int64_t b = 0; b < call.query.extents[0]; ++b) {
        const Sample sample = sample_of(config, weights, call.sight, b, rows, n, m, !call.key.data);
        const Rounded<Real> x = exact(rows_of<Real>(call.query, b, rows)),
                            key_x = exact(rows_of<Real>(key_input, b, sources)),
                            value_x = exact(rows_of<Real>(value_input, b, sources));
        Rounded<Real> q;
        if (has_query) {
            q = projected(x.value, weights.query_weight, weights.query_bias, H, P);
        }
        const Rounded<Real> k = projected(key_x.value, weights.key_weight, weights.key_bias, key_inputs, P),
                            v = projected(value_x.value, weights.value_weight, weights.value_bias, value_inputs, P);
        Rounded<Real> g = sample_of_output<Real>(dy, b, n * H);
        std::fill(g.value.begin() + std::min(n, sample.length) * H, g.value.end(), Real(0));
        const Rounded<Real> of_y = g;
        if (has_output) {
            g = ProjectionGradients<Real>::input(of_y, weights.project_weight, P, H);
        }
        const MeanGradients<Real> gradients =
            mean_gradients(sample, call.sight, b, first, q, {k.value, v.value, k.size, v.size, exact_keys}, g, shared);
        if (has_output) {
            of_output.add(gradients.gated, of_y, P, H);
        }
        of_key.add(key_x, gradients.key, key_inputs, P);
        of_value.add(value_x, gradients.value, value_inputs, P);
        Sums<Real> dx(n * H), dkey(call.key.data ? m * key_inputs : 0), dvalue(call.value.data ? m * value_inputs : 0);
        if (has_query) {
            of_query.add(x, gradients.query, H, P);
            dx.add(0, ProjectionGradients<Real>::input(gradients.query, weights.query_weight, H, P));
        }
        Sums<Real> &to_key = call.key.data ? dkey : dx;
        to_key.add(0, ProjectionGradients<Real>::input(gradients.key, weights.key_weight, key_inputs, P));
        (call.value.data ? dvalue : to_key)
            .add(0, ProjectionGradients<Real>::input(gradients.value, weights.value_weight, value_inputs, P));
        append<Real>(query, dx);
        append<Real>(key, dkey);
        append<Real>(value, dvalue);
    }
    Gradients result = gradients_of(query, key, value, shared);
    result.query_weight = with_tolerance(of_query.weight);
    result.key_weight = with_tolerance(of_key.weight);
    result.value_weight = with_tolerance(of_value.weight);
    result.project_weight = with_tolerance(of_output.weight);
    const auto of_bias = [](const std::vector<float> &bias, const ProjectionGradients<Real> &gradients) {
        return bias.empty() ? Reference() : with_tolerance(gradients.bias);
    };
    result.query_bias = of_bias(weights.query_bias, of_query);
    result.key_bias = of_bias(weights.key_bias, of_key);
    result.value_bias = of_bias(weights.value_bias, of_value);
    result.project_bias = of_bias(weights.project_bias, of_output);
    return result;
}

}  // namespace

std::vector<std::pair<const char *, const Reference *>> Gradients::all() const {
    return {{"query", &query},
            {"key", &key},
            {"value", &value},
            {"query_weight", &query_weight},
            {"query_bias", &query_bias},
            {"key_weight", &key_weight},
            {"key_bias", &key_bias},
            {"value_weight", &value_weight},
            {"value_bias", &value_bias},
            {"project_weight", &project_weight},
            {"project_bias", &project_bias},
            {"position_bias", &position_bias},
            {"decay", &decay},
            {"bonus", &bonus}};
}

Gradients reference_gradients(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                              const std::vector<float> &dy) {
    return layer_gradients<double>(config, weights, call, dy);
}

Gradients reference_core_gradients(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                                   const std::vector<float> &dy) {
    return core_gradients<double>(config, weights, call, dy);
}

std::pair<Reference, Reference> reference_projection_gradients(const std::vector<float> &x,
                                                               const std::vector<float> &dy, std::int64_t inputs,
                                                               std::int64_t outputs) {
    ProjectionGradients<double> gradients(inputs, outputs);
    const std::vector<double> of_y(dy.begin(), dy.end());
    gradients.add(exact(std::vector<double>(x.begin(), x.end())), {of_y, std::vector<double>(of_y.size())}, inputs,
                  outputs);
    return {with_tolerance(gradients.weight), with_tolerance(gradients.bias)};
}

Gradients plain_gradients(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                          const std::vector<float> &dy) {
    return layer_gradients<float>(config, weights, call, dy);
}

Gradients plain_core_gradients(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                               const std::vector<float> &dy) {
    return core_gradients<float>(config, weights, call, dy);
}

}  // namespace aft
