#pragma once

#include "functions.h"

namespace aft {

/// The gate of a query by its number in aft::Gate: 0 sigmoid, 1 tanh, 2 none. With e = exp(-|q|), or exp(-2 |q|) for
/// tanh:
///     sigmoid(q) = (1 or e) / (1 + e)      tanh(q) = +-(1 - e) / (1 + e), or its series where 1 - e would cancel
inline Halide::Expr gate(const Halide::Expr &number, const Halide::Expr &q) {
    using namespace Halide;
    const Expr is_tanh = number == 1, size = abs(q), square = q * q;
    const Expr e = exp_nonpositive(-size * select(is_tanh, 2.0f, 1.0f));
    Expr series = 62.0f / 2835;
    for (const float coefficient : {-17.0f / 315, 2.0f / 15, -1.0f / 3, 1.0f}) {
        series = series * square + coefficient;
    }
    const Expr numerator = select(is_tanh, select(q < 0.0f, e - 1.0f, 1.0f - e), select(q >= 0.0f, 1.0f, e));
    const Expr of_both = numerator / (1.0f + e);
    return select(number == 2, 1.0f, select(is_tanh && size < 0.25f, q * series, of_both));
}

}  // namespace aft
