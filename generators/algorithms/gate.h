#pragma once

#include "functions.h"
#include "score.h"

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
/// serves both functions: for q >= 0, sigmoid(q) = 1 / (1 + e) with e = exp(-|q|), and tanh(q) = (1 - e) / (1 + e) with
/// e = exp(-2 |q|).
inline Halide::Expr gate(const Rounding &rounded, const Halide::Expr &kind_of_call, const Halide::Expr &q) {
    using namespace Halide;
    const Expr kind = rounded.in_element(kind_of_call, q);
    const float to_exponent_of_2 = -1.44269504f;
    const Expr is_tanh = kind == 1, magnitude = abs(q);
    const Expr exponent = magnitude * select(is_tanh, 2 * to_exponent_of_2, to_exponent_of_2);
    const Expr e = exp2_bounded(rounded, max(exponent, -127.0f));
    const Expr quotient = select(is_tanh, 1.0f - e, select(q >= 0.0f, 1.0f, e)) / (1.0f + e);
    const Expr tanh = select(magnitude < 0.25f, tanh_near_zero(q), select(q >= 0.0f, quotient, -quotient));
    // A query that is a NaN stays one, though maxima may lose it.
    return select(kind == 2, 1.0f, kind == 3 || is_nan_bits(q), q, is_tanh, tanh, quotient);
}

/// Its derivative: sigmoid(q) (1 - sigmoid(q)) = e / (1 + e)^2, and 1 - tanh(q)^2 = 4 e / (1 + e)^2 with the e of tanh.
inline Halide::Expr gate_slope(const Rounding &rounded, const Halide::Expr &kind_of_call, const Halide::Expr &q) {
    using namespace Halide;
    const Expr kind = rounded.in_element(kind_of_call, q);
    const float to_exponent_of_2 = -1.44269504f;
    const Expr is_tanh = kind == 1;
    const Expr exponent = abs(q) * select(is_tanh, 2 * to_exponent_of_2, to_exponent_of_2);
    const Expr e = exp2_bounded(rounded, max(exponent, -127.0f)), reciprocal = 1.0f / (1.0f + e);
    const Expr slope = select(is_tanh, 4.0f, 1.0f) * e * reciprocal * reciprocal;
    return select(kind == 2, 0.0f, kind == 3, 1.0f, is_nan_bits(q), q, slope);
}

}  // namespace aft
