#include "forms.h"

#include <algorithm>
#include <cstdlib>

namespace aft {
namespace {

PairBias position_bias(const LayerConfig &config, const Weights &weights) {
    const auto w = [&weights, S = config.max_seq_len](std::int64_t target, std::int64_t source) {
        return static_cast<double>(weights.position_bias[target * S + source]);
    };
    switch (config.form.bias) {
        case PositionBias::none: return [](auto, auto) { return 0.0; };
        case PositionBias::dense: return w;
        case PositionBias::banded:
            return [w, window = config.window](std::int64_t target, std::int64_t source) {
                return std::abs(target - source) < window ? w(target, source) : 0.0;
            };
    }
    return {};
}

}  // namespace

PairBias pair_bias(const LayerConfig &config, const Weights &weights) {
    switch (config.form.reach) {
        case Reach::all: return position_bias(config, weights);
    }
    return {};
}

double work(const Problem &problem) {
    const double seq = static_cast<double>(problem.shape.seq);
    const double rows = static_cast<double>(problem.shape.batch) * seq;
    const double hidden = static_cast<double>(problem.config.hidden);
    const double projected = static_cast<double>(problem.config.projected);
    const double projections = 4 * 2 * rows * hidden * projected;  // query, key, value, output
    // Numerator and denominator take a multiply-add each for every pair of target and source that has a bias. Without
    // a bias, an element takes an exponential, two sums, a product, the division and the gate.
    const auto core = [&](double sources) { return 2 * 2 * rows * sources * projected; };
    switch (problem.config.form.bias) {
        case PositionBias::none: return projections + 6 * rows * projected;
        case PositionBias::dense: return projections + core(seq);
        case PositionBias::banded:
            return projections + core(std::clamp(2 * static_cast<double>(problem.config.window) - 1, 0.0, seq));
    }
    return 0;
}

}  // namespace aft
