#pragma once

#include "../workarounds/rounding.h"

namespace aft {

/// 2^exponent for -127 <= exponent <= 127, to the last bit; 0 at -127.
inline Halide::Expr exp2_bounded(const Rounding &rounded, const Halide::Expr &exponent) {
    // Rounded throughout: what is rounded and what isn't are different expressions, and would both be computed.
    const Halide::Expr t = rounded(exponent);
    // Added to 1.5 x 2^23, t is rounded to an integer n, which is in the lowest bits of the sum: with 127, as the
    // exponent of 2^n has it.
    const float to_integer = 12582912.0f + 127;
    const Halide::Expr sum = rounded(t + to_integer);
    const Halide::Expr r = t - rounded(sum - to_integer);
    const Halide::Expr two_to_the_n = Halide::reinterpret<float>(Halide::reinterpret<int32_t>(sum) << 23);
    // 2^r for |r| <= 1/2 with the least relative error, 1.9e-9.
    Halide::Expr power = 1.5345812e-4f;
    for (const float coefficient : {1.3399931e-3f, 9.618489e-3f, 5.5503286e-2f, 0.24022646f, 0.6931472f, 1.0f}) {
        power = power * r + coefficient;
    }
    return power * two_to_the_n;
}

/// The score K + w of a source without a rounding: high is the float next to it, low the rest. One float would lose as
/// much of the bias as the key is large, and the other way round. Scores are kept at an eighth of their size, so that
/// no sum or difference of two overflows.
struct Score {
    static constexpr float scale = 0.125f;
    static constexpr float of_masked_bias = -1.7e38f;  // scaled already: no key lifts it to a score that counts
    static constexpr float lowest_visible = -1e38f;
    Halide::Expr high, low;

    /// Knuth's TwoSum of a scaled key and a scaled bias.
    static Score sum(const Rounding &rounded, const Halide::Expr &key, const Halide::Expr &bias) {
        const Halide::Expr high = rounded(key + bias), of_bias = rounded(high - key);
        return {high, rounded((key - (high - of_bias)) + (bias - of_bias))};
    }
    static Score masked() {
        return {of_masked_bias, 0.0f};
    }
    Halide::Expr is_visible() const {
        return high > lowest_visible;
    }
    /// Compared without a call, such as strict_float: in an update of a Tuple, Halide 21 overlooks the Tuple's own
    /// values within calls, and stores one before it has computed the next.
    static Score max(const Score &a, const Score &b) {
        const Halide::Expr a_is_larger = a.high > b.high || (a.high == b.high && a.low > b.low);
        return {select(a_is_larger, a.high, b.high), select(a_is_larger, a.low, b.low)};
    }
    /// Scaled as they are. Where it counts, each part of the difference is exact, or as good as that of neighbouring
    /// floats.
    Halide::Expr minus(const Rounding &rounded, const Score &other) const {
        return rounded((high - other.high) + (low - other.low));
    }
    /// exp of a difference that isn't positive.
    static Halide::Expr exp_nonpositive(const Rounding &rounded, const Halide::Expr &difference) {
        const float to_exponent_of_2 = 1.44269504f / scale;
        return exp2_bounded(rounded, Halide::max(difference, -127 / to_exponent_of_2) * to_exponent_of_2);
    }
    /// exp(this - maximum); of two masked ones it is 1.
    Halide::Expr weight(const Rounding &rounded, const Score &maximum) const {
        return exp_nonpositive(rounded, minus(rounded, maximum));
    }
};

}  // namespace aft
