#pragma once

#include "Halide.h"

namespace aft {

// bfloat16 is kept as its 16 bits, the upper half of a float32: Halide 21 doesn't vectorise its own type.

/// Rounded to the nearest, to even; to the largest number where that would be infinite. A NaN stays one, whichever bits
/// it has.
inline Halide::Expr as_bfloat16(const Halide::Expr &value) {
    const Halide::Expr bits = Halide::reinterpret<uint32_t>(value), magnitude = bits & 0x7fffffff;
    const Halide::Expr carry = Halide::select(magnitude >= 0x7f7f8000 && magnitude < 0x7f800000,
                                              Halide::cast<uint32_t>(0), 0x7fff + (bits >> 16 & 1));
    const Halide::Expr quiet_nan = bits | 0x400000;
    return Halide::cast<uint16_t>(Halide::select(magnitude > 0x7f800000, quiet_nan, bits + carry) >> 16);
}

/// The float32 of what as_bfloat16() gave; a float32 stays as it is.
inline Halide::Expr as_float(const Halide::Expr &kept) {
    return kept.type() == Halide::UInt(16) ? Halide::reinterpret<float>(Halide::cast<uint32_t>(kept) << 16) : kept;
}

/// The same as a factor of a product: as Halide's own type, by which it finds the instruction that adds two products.
/// Integers as int32, by which it finds that for them.
inline Halide::Expr factor(const Halide::Expr &kept) {
    if (kept.type().is_int()) {
        return Halide::cast<int32_t>(kept);
    }
    return kept.type() == Halide::UInt(16) ? Halide::cast<float>(Halide::reinterpret(Halide::BFloat(16), kept)) : kept;
}

}  // namespace aft
