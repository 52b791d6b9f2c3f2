#pragma once

#include "reference/problem.h"

#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>
#include <functional>

namespace aft {

/// The bias of a target and a source, in double. -inf: the target doesn't see the source.
using PairBias = std::function<double(std::int64_t target, std::int64_t source)>;

/// The bias of a layer, by the definition of its form. `weights` must live as long.
PairBias pair_bias(const LayerConfig &config, const Weights &weights);

/// Floating-point operations that no implementation of the layer can leave out. A multiply-add counts as 2.
double work(const Problem &problem);

}  // namespace aft
