#pragma once

#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>

namespace aft {

/// The row of the position bias whose values differ most.
struct BiasRange {
    float range = 0;
    std::int64_t row = 0;
};

/// The range is infinite for a row that masks a source. A row counts its entries within the window and, where there is
/// a window, the 0 outside. A layer without a position bias [S, S] has range 0.
BiasRange widest_bias_range(const Weights &weights, const LayerConfig &config);

}  // namespace aft
