#include "forms.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace aft {
namespace {

constexpr double hidden = -std::numeric_limits<double>::infinity();

/// By positions, of every pair.
PairBias position_bias(const LayerConfig &config, const Weights &weights, const Sight &sight, std::int64_t sample,
                       std::int64_t first) {
    const auto w = [&weights, S = config.max_seq_len](auto target, auto source, auto) -> double {
        return weights.position_bias[target * S + source];
    };
    const std::int64_t window = config.window;
    switch (config.form.bias) {
        case PositionBias::none: return [](auto, auto, auto) { return 0.0; };
        case PositionBias::dense: return w;
        case PositionBias::banded:
            return [w, window](auto target, auto source, auto channel) {
                return std::abs(target - source) < window ? w(target, source, channel) : 0.0;
            };
        case PositionBias::convolution:
            return [&weights, window, channels = config.projected / config.heads](auto target, auto source,
                                                                                  auto channel) -> double {
                const std::int64_t distance = target - source;
                const bool is_near = distance >= 0 && distance < window;
                return is_near ? weights.position_bias[channel / channels * window + distance] : 0.0f;
            };
        case PositionBias::decay:
            return [&weights](auto target, auto source, auto channel) {
                return target == source ? static_cast<double>(weights.bonus[channel])
                                        : -static_cast<double>(target - 1 - source) * weights.decay[channel];
            };
        case PositionBias::given:
            return [bias = sight.position_bias, scale = static_cast<double>(sight.bias_scale), sample,
                    first](auto target, auto source, auto) {
                const auto &strides = bias.strides;
                const double value =
                    bias.data[sample * strides[0] + (target - first) * strides[1] + source * strides[2]];
                constexpr double largest = std::numeric_limits<float>::max();
                return std::isinf(value) ? hidden : std::clamp(scale * value, -largest, largest);
            };
    }
    return {};
}

bool reaches(Reach reach, std::int64_t target, std::int64_t source) {
    switch (reach) {
        case Reach::all: return true;
        case Reach::past: return source <= target;
    }
    return false;
}

/// The pairs of a sequence of n targets as sources that a bias isn't 0 for.
double biased_pairs(const LayerConfig &config, double n, double m) {
    const double near = std::min(static_cast<double>(config.window), std::min(n, m));
    const bool past = config.form.is_causal();
    switch (config.form.bias) {
        case PositionBias::none:
        case PositionBias::decay: return 0;
        case PositionBias::dense:
        case PositionBias::given: return past ? n * m - n * (n - 1) / 2 : n * m;
        case PositionBias::banded:
            if (!past) {
                return n * std::clamp(2 * static_cast<double>(config.window) - 1, 0.0, m);
            }
            [[fallthrough]];
        case PositionBias::convolution: return near * n - near * (near - 1) / 2;
    }
    return 0;
}

/// Numerator and denominator take a multiply-add each for every pair of target and source that has a bias. Without
/// biases, an element takes an exponential, two sums, a product, the division and the gate; with a decay, two more
/// products, and the same again for the bonus.
double mean_work(const LayerConfig &config, double targets, double sources) {
    switch (config.form.bias) {
        case PositionBias::none: return 6 * sources;
        case PositionBias::decay: return 12 * sources;
        default: return 2 * 2 * biased_pairs(config, targets, sources);
    }
}

}  // namespace

PairBias pair_bias(const LayerConfig &config, const Weights &weights, const Sight &sight, std::int64_t sample,
                   std::int64_t first) {
    const PairBias bias = position_bias(config, weights, sight, sample, first);
    const auto &lengths = sight.lengths;
    const std::int64_t length =
        lengths.data ? lengths.data[sample * lengths.strides[0]] : std::numeric_limits<std::int64_t>::max();
    return [=, reach = config.form.reach, mask = sight.mask](auto i, auto source, auto channel) {
        const std::int64_t target = first + i;
        const auto &strides = mask.strides;
        const bool is_visible = reaches(reach, target, source) && source < length &&
                                (!mask.data || mask.data[sample * strides[0] + i * strides[1] + source * strides[2]]);
        return is_visible ? bias(target, source, channel) : hidden;
    };
}

BiasParameter bias_parameter(const LayerConfig &config, const Sight &sight, std::int64_t sample, std::int64_t first,
                             std::int64_t i, std::int64_t j, std::int64_t channel) {
    const BiasParameter none{BiasParameter::none, 0, 0};
    const std::int64_t target = first + i, distance = target - j;
    switch (config.form.bias) {
        case PositionBias::none: return none;
        case PositionBias::banded:
            if (std::abs(distance) >= config.window) {
                return none;
            }
            [[fallthrough]];
        case PositionBias::dense: return {BiasParameter::position_bias, target * config.max_seq_len + j, 1};
        case PositionBias::convolution: {
            const std::int64_t head = channel / (config.projected / config.heads);
            return distance < config.window
                       ? BiasParameter{BiasParameter::position_bias, head * config.window + distance, 1}
                       : none;
        }
        case PositionBias::decay:
            return distance == 0 ? BiasParameter{BiasParameter::bonus, channel, 1}
                                 : BiasParameter{BiasParameter::decay, channel, -static_cast<double>(distance - 1)};
        case PositionBias::given: {
            const auto &extents = sight.position_bias.extents;
            return {BiasParameter::position_bias, (sample * extents[1] + i) * extents[2] + j, sight.bias_scale};
        }
    }
    return none;
}

std::vector<Gate> gates() {
    return {Gate::sigmoid, Gate::tanh, Gate::none, Gate::identity};
}

std::string name(Gate gate) {
    switch (gate) {
        case Gate::sigmoid: return "sigmoid";
        case Gate::tanh: return "tanh";
        case Gate::none: return "none";
        case Gate::identity: return "identity";
    }
    return "";
}

template<typename Real>
Real gate_of(Gate gate, Real query) {
    const Real e = std::exp(-std::abs(query));
    switch (gate) {
        case Gate::sigmoid: return query < 0 ? e / (1 + e) : 1 / (1 + e);
        case Gate::tanh: return std::tanh(query);
        case Gate::none: return 1;
        case Gate::identity: return query;
    }
    return std::numeric_limits<Real>::quiet_NaN();
}
template double gate_of(Gate, double);
template float gate_of(Gate, float);

template<typename Real>
Real gate_slope(Gate gate, Real query) {
    const auto logistic_slope = [](Real v) {  // of 1 / (1 + exp(-v)): nothing cancels
        const Real e = std::exp(-std::abs(v));
        return e / ((1 + e) * (1 + e));
    };
    switch (gate) {
        case Gate::sigmoid: return logistic_slope(query);
        case Gate::tanh: return 4 * logistic_slope(2 * query);
        case Gate::none: return 0;
        case Gate::identity: return 1;
    }
    return std::numeric_limits<Real>::quiet_NaN();
}
template double gate_slope(Gate, double);
template float gate_slope(Gate, float);

double work(const Problem &problem, const std::string &operation) {
    const LayerConfig &config = problem.config;
    const double batch = static_cast<double>(problem.shape.batch), targets = static_cast<double>(problem.shape.seq);
    const double sources = static_cast<double>(source_count(problem));
    const double projected = static_cast<double>(config.projected),
                 hidden_channels = static_cast<double>(config.hidden);
    const auto linear = [&](double rows, std::int64_t inputs) {
        return 2 * batch * rows * static_cast<double>(inputs) * projected;
    };
    const double query = linear(targets, config.hidden);
    if (operation == "linear" || operation == "linear_training" || operation == "linear_gradients") {
        return query;
    }
    const double mean = batch * projected * mean_work(config, targets, sources);
    if (operation == "training") {  // the result, the gradients of the inputs, and those of the parameters
        const bool has_bias = config.form.has_bias() || config.form.takes_bias();
        return 3 * (config.hidden > 0 ? work(problem) - mean : 0) + (has_bias ? 3 : 2) * mean;
    }
    if (operation != "forward") {
        return mean;
    }
    return (config.form.has_query() ? query : 0) + linear(sources, key_channels(config)) +
           linear(sources, value_channels(config)) + mean +
           (problem.projects_output ? 2 * batch * targets * projected * hidden_channels : 0);
}

}  // namespace aft
