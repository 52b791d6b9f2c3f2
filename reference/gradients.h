#pragma once

#include "reference/reference.h"

#include <aft/call.h>
#include <aft/config.h>
#include <aft/weights.h>

#include <utility>
#include <vector>

namespace aft {

/// The gradients of a loss L in double, by the definition: dL/d of all that a call reads, given g = dL/dy. A member is
/// empty where the layer or the call has no such tensor. With h = gate(Q) dL/d(gate(Q) A) and
/// p[i, j, c] = exp(K[j, c] + w[i, j, c]) / sum_j' exp(K[j', c] + w[i, j', c]),
///     dQ = dL/d(gate(Q) A) A gate'(Q)     dV[j] = sum_i p[i, j] h[i]     dK[j] = sum_i p[i, j] h[i] (V[j] - A[i])
///     dw[i, j, c] = p[i, j, c] h[i, c] (V[j, c] - A[i, c]), summed over all that have one parameter
/// Sources that no target sees, and targets without a result, have the gradient 0, whatever they hold. `tolerance` says
/// how far from the gradient a correct float32 result can be: it is relative to the terms that are summed, not to their
/// sum.
struct Gradients {
    // The inputs' gradients: [B, n, H], [B, m, key_hidden] and [B, m, value_hidden]. Where the query is the key or
    // value input as well, its gradient is the sum of theirs. For a mean, the gradients of q, k and v.
    Reference query, key, value;
    Reference query_weight, query_bias, key_weight, key_bias, value_weight, value_bias, project_weight, project_bias;
    // As in Weights, or where the call gives the bias, [B, n, m].
    Reference position_bias;
    Reference decay, bonus;

    /// Every member with its name, in this order.
    std::vector<std::pair<const char *, const Reference *>> all() const;
};

/// dy: [B, n, H], or [B, n, P] without an output projection.
Gradients reference_gradients(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                              const std::vector<float> &dy);
/// dy: [B, n, P].
Gradients reference_core_gradients(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                                   const std::vector<float> &dy);

/// Those of the weight [outputs, inputs] and of the bias of a projection y = x W^T + b, in every row of x and dy.
std::pair<Reference, Reference> reference_projection_gradients(const std::vector<float> &x,
                                                               const std::vector<float> &dy, std::int64_t inputs,
                                                               std::int64_t outputs);

/// The same computations in float32, which `tolerance` is calibrated on.
Gradients plain_gradients(const LayerConfig &config, const Weights &weights, const LayerCall &call,
                          const std::vector<float> &dy);
Gradients plain_core_gradients(const LayerConfig &config, const Weights &weights, const CoreCall &call,
                               const std::vector<float> &dy);

}  // namespace aft
