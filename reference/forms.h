#pragma once

#include "reference/problem.h"

#include <aft/call.h>
#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace aft {

/// The bias of a target, a source and a channel, in double. -inf: the target doesn't see the source.
using PairBias = std::function<double(std::int64_t target, std::int64_t source, std::int64_t channel)>;

/// The bias of one sample of a call, by the definition of the layer's form, and -inf where the call hides the pair.
/// Target 0 is at position `first`. `weights` and the call's tensors must live as long.
PairBias pair_bias(const LayerConfig &config, const Weights &weights, const Sight &sight = {}, std::int64_t sample = 0,
                   std::int64_t first = 0);

/// The parameter that the bias of a pair is a multiple of. Parameters are those of Weights, but for the position_bias
/// of a call, [B, n, m].
struct BiasParameter {
    enum { none, position_bias, decay, bonus } tensor;
    std::int64_t index;  ///< of the entry
    double factor;
};

/// That of the pair of target i, at position first + i, and source j.
BiasParameter bias_parameter(const LayerConfig &config, const Sight &sight, std::int64_t sample, std::int64_t first,
                             std::int64_t i, std::int64_t j, std::int64_t channel);

/// Every gate, the usual one first.
std::vector<Gate> gates();
/// "sigmoid", "tanh", "none".
std::string name(Gate gate);
/// The factor of the mean for a query. Accurate relative to itself.
template<typename Real>
Real gate_of(Gate gate, Real query);
/// The derivative of gate_of(), which is >= 0. Accurate relative to itself.
template<typename Real>
Real gate_slope(Gate gate, Real query);

/// Floating-point operations that no implementation of a problem can leave out, of the whole layer (`forward`), of its
/// weighted mean (`core`, `scan`), or of its query projection (`linear`). A multiply-add counts as 2.
double work(const Problem &problem, const std::string &operation = "forward");

}  // namespace aft
