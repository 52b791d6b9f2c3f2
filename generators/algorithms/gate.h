#pragma once

#include "functions.h"

namespace aft {

/// tanh(v) for |v| < 0.25, where (1 - e) / (1 + e) would cancel: its series up to v^9, whose next term is 1e-8 of it.
inline Halide::Expr tanh_near_zero(const Halide::Expr &v) {
    const Halide::Expr square = v * v;
    Halide::Expr power = 62.0f / 2835;
    for (const float coefficient : {-17.0f / 315, 2.0f / 15, -1.0f / 3}) {
        power = power * square + coefficient;
    }
    return power * square * v + v;
}

/// The factor of a mean, as its kind says (aft::Gate): 0 sigmoid(q), 1 tanh(q), 2 none, 3 q itself. One exponential
/// serves both: sigmoid(q) = 1 / (1 + e) with e = exp(-|q|), tanh(q) = (1 - e) / (1 + e) with e = exp(-2 |q|), for q >=
/// 0.
inline Halide::Expr gate(const Halide::Expr &kind, const Halide::Expr &q) {
    const Halide::Expr is_tanh = kind == 1, magnitude = Halide::abs(q);
    // 104 is where exp(-|q|) ends, and twice the largest float would be infinite.
    const Halide::Expr e = exp_nonpositive(-Halide::min(magnitude, 104.0f) * Halide::select(is_tanh, 2.0f, 1.0f));
    const Halide::Expr quotient = Halide::select(is_tanh, 1.0f - e, Halide::select(q >= 0.0f, 1.0f, e)) / (1.0f + e);
    const Halide::Expr tanh =
        Halide::select(magnitude < 0.25f, tanh_near_zero(q), Halide::select(q >= 0.0f, quotient, -quotient));
    return Halide::select(kind == 0, quotient, is_tanh, tanh, kind == 2, 1.0f, q);
}

}  // namespace aft
