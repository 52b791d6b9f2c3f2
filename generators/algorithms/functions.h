#pragma once

#include "Halide.h"

#include <limits>

namespace aft {

/// Below every sum that can arise, yet finite: generated code may assume that infinities don't occur.
inline Halide::Expr lowest() {
    return std::numeric_limits<float>::lowest();  // Halide's Float(32).min() is -infinity
}

/// exp(v) for v <= 0, however far below. Halide's exp for vectors takes the integer part of v / ln 2 as an int32, which
/// wraps around below -2^31 ln 2; exp(-104) is 0 already.
inline Halide::Expr exp_nonpositive(const Halide::Expr &v) {
    return Halide::exp(Halide::max(v, -104.0f));
}

/// 1 / (1 + exp(-v)), with no exponential that could overflow.
inline Halide::Expr sigmoid(const Halide::Expr &v) {
    const Halide::Expr e = exp_nonpositive(-Halide::abs(v));
    return Halide::select(v >= 0.0f, 1.0f, e) / (1.0f + e);
}

// By their bits: generated code may assume that no value is infinite or a NaN.
inline Halide::Expr is_minus_infinity(const Halide::Expr &v) {
    return Halide::reinterpret<uint32_t>(v) == Halide::Expr(0xff800000u);
}
inline Halide::Expr is_infinite(const Halide::Expr &v) {
    return (Halide::reinterpret<uint32_t>(v) & 0x7fffffff) == Halide::Expr(0x7f800000u);
}
inline Halide::Expr is_nan_bits(const Halide::Expr &v) {
    return (Halide::reinterpret<uint32_t>(v) & 0x7fffffff) > 0x7f800000;
}
inline Halide::Expr has_finite_bits(const Halide::Expr &v) {
    return (Halide::reinterpret<uint32_t>(v) & 0x7fffffff) < 0x7f800000;
}

/// The value, or the other one where it doesn't count. By their bits: with a select between values of which one is
/// likely(), Halide would make several loops of one.
inline Halide::Expr kept_if(const Halide::Expr &counts, const Halide::Expr &value, const Halide::Expr &other = 0.0f) {
    using namespace Halide;
    const Expr mask = select(counts, Expr(0xffffffffu), Expr(0u));
    return reinterpret<float>((reinterpret<uint32_t>(value) & mask) | (reinterpret<uint32_t>(other) & ~mask));
}

/// The bias of a channel; channels past the last one are padding.
inline Halide::Expr bias_at(const Halide::Func &bias, const Halide::Expr &channels, const Halide::Expr &channel) {
    return bias(Halide::min(channel, channels - 1));
}

}  // namespace aft
