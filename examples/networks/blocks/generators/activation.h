#pragma once

#include <algorithms/gate.h>

namespace networks {

/// The function that follows a linear map.
enum class Activation { none, relu, gelu, tanh };

/// v Phi(v), where Phi is the normal distribution's: exp(-z^2) t p(t) / 2 below 0, with z = |v| / sqrt(2) and
/// t = 1 / (1 + z / 2). p fits exp(z^2) erfc(z) / t by least squares; the error of erfc is 2e-8.
inline Halide::Expr gelu(const Halide::Expr &v) {
    const Halide::Expr z = Halide::abs(v) * 0.70710678f, t = 1.0f / (1.0f + 0.5f * z);
    Halide::Expr p = -0.05612144f;
    for (const float coefficient :
         {0.27107803f, -0.4613151f, 0.25110807f, -0.01010229f, 0.19665784f, 0.24436184f, 0.28224122f, 0.28209181f}) {
        p = p * t + coefficient;
    }
    const Halide::Expr tail = 0.5f * t * p * aft::exp_nonpositive(-z * z);
    return v * Halide::select(v > 0.0f, 1.0f - tail, tail);
}

inline Halide::Expr activate(Activation activation, const Halide::Expr &v) {
    switch (activation) {
        case Activation::relu: return Halide::select(v < 0.0f, 0.0f, v);
        case Activation::gelu: return gelu(v);
        case Activation::tanh: return aft::gate(aft::Rounding(), 1, v);
        case Activation::none: break;
    }
    return v;
}

}  // namespace networks
