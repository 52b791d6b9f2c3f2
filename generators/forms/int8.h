#pragma once

#include "Halide.h"

namespace aft {

/// Products of weights in int8: a weight is kept as the integer nearest to 127 w / max |w| of its output channel, an
/// input as the one nearest to 32767 x / max |x| of its row, both rounded to even where two are as near. Their products
/// are added in int32, exactly, over as many steps as always fit.
struct Int8 {
    using Expr = Halide::Expr;

    static constexpr int weight_units = 127, input_units = 32767;
    static constexpr int most_steps = 0x7fffffff / (weight_units * input_units);

    static Expr weight(const Expr &value, const Expr &largest) {
        return Halide::cast<int8_t>(in_units(value, largest, weight_units));
    }
    static Expr input(const Expr &value, const Expr &largest) {
        return Halide::cast<int16_t>(in_units(value, largest, input_units));
    }
    /// A sum of products of integers as what it stands for. The largest ones last: their product may be infinite where
    /// the result isn't.
    static Expr in_float(const Expr &sum, const Expr &largest_weight, const Expr &largest_input) {
        constexpr float unit = 1.0f / (weight_units * input_units);
        return Halide::strict_float(Halide::cast<float>(sum) * unit * largest_weight * largest_input);
    }

    // ---- the largest magnitude of some values: the largest of their bits, as numbers without a sign are in order
    static Expr magnitude_bits(const Expr &value) {
        return Halide::reinterpret<int32_t>(value) & 0x7fffffff;
    }
    /// A NaN where a value is infinite or a NaN: so is every result then.
    static Expr largest(const Expr &bits) {
        return Halide::reinterpret<float>(Halide::select(bits < 0x7f800000, bits, 0x7fc00000));
    }

private:
    /// By a division: 1 / largest is denormal for the largest numbers. The clamp is for what isn't counted, padding and
    /// rows without a result.
    static Expr in_units(const Expr &value, const Expr &largest, int units) {
        const Expr share = Halide::select(largest > 0.0f, Halide::strict_float(value / largest), 0.0f);
        const float most = static_cast<float>(units);
        return Halide::clamp(Halide::round(Halide::strict_float(share * most)), -most, most);
    }
};

}  // namespace aft
