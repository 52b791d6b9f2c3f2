#pragma once

#include "Halide.h"

namespace aft {

/// Rounds to float32: nothing is computed from rounded(e) as if e hadn't been rounded. strict_float does that, but
/// Halide 21 doesn't pass it on to the drivers of Vulkan, which turn (a + b) - a into b. They can't where the bits in
/// between are combined with an integer that is 0 and that they don't know. To be deleted when Halide marks strict
/// operations in SPIR-V (NoContraction).
class Rounding {
public:
    Rounding() = default;
    explicit Rounding(Halide::Expr unknown_zero) : unknown_zero(std::move(unknown_zero)) {}

    Halide::Expr operator()(const Halide::Expr &e) const {
        return unknown_zero.defined() ? Halide::reinterpret<float>(Halide::reinterpret<int32_t>(e) ^ unknown_zero)
                                      : Halide::strict_float(e);
    }

    /// An integer that is the same in all elements of a call, where `element` differs from one to the next. Halide 21
    /// computes a condition of such an integer before the loops and passes it to Vulkan's kernels as a byte. They read
    /// several such bytes from wrong places, unless the condition seems to depend on the element.
    Halide::Expr in_element(const Halide::Expr &integer, const Halide::Expr &element) const {
        return unknown_zero.defined() ? integer ^ (Halide::reinterpret<int32_t>(element) & unknown_zero) : integer;
    }

private:
    Halide::Expr unknown_zero;  // undefined where strict_float holds
};

}  // namespace aft
