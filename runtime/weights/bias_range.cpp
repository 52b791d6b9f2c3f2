#include "weights/bias_range.h"

#include <algorithm>
#include <cmath>

namespace aft {

BiasRange widest_bias_range(const Weights &weights, const LayerConfig &config) {
    BiasRange widest;
    if (!config.form.has_positions()) {
        return widest;
    }
    const std::int64_t S = config.max_seq_len;
    const bool has_window = config.form.has_window();
    const std::int64_t window = has_window ? std::min(config.window, S) : S;
    for (std::int64_t t = 0; t < S; ++t) {
        const float *row = weights.position_bias.data() + t * S;
        const float *first = row + std::max<std::int64_t>(t - window + 1, 0);
        const float *last = row + std::min(t + window, S);
        float lowest = has_window ? 0 : *first, highest = lowest;
        for (const float *w = first; w < last; ++w) {
            lowest = std::min(lowest, *w);
            highest = std::max(highest, *w);
        }
        // A row of nothing but -inf would give -inf - -inf.
        const float range = std::isfinite(lowest) ? highest - lowest : INFINITY;
        if (range > widest.range) {
            widest = {range, t};
        }
    }
    return widest;
}

}  // namespace aft
