#pragma once

#include "Halide.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace aft {

/// One value of an activation: a channel of a row of a sample. Flat Funcs are addressed by the first line; Funcs in
/// panels by the second: channel = block * vector + lane, row = tile * tile_rows + row_in_tile.
struct Element {
    Halide::Expr channel, row, batch;
    Halide::Expr lane, block, row_in_tile, tile;
};

/// An activation as a function of where.
using Values = std::function<Halide::Expr(const Element &)>;

inline Halide::Expr ceil_div(const Halide::Expr &a, const Halide::Expr &b) {
    return (a + b - 1) / b;
}

/// All values of a Func of one or of several values.
inline Halide::Tuple values_of(const Halide::Func &f, const std::vector<Halide::Expr> &at) {
    return f.outputs() == 1 ? Halide::Tuple(Halide::Expr(f(at))) : Halide::Tuple(f(at));
}

inline std::vector<Halide::Expr> as_exprs(const std::vector<Halide::Var> &vars) {
    return {vars.begin(), vars.end()};
}

/// Below every sum that can arise, yet finite: generated code may assume that infinities don't occur.
inline Halide::Expr lowest() {
    return std::numeric_limits<float>::lowest();  // Halide's Float(32).min() is -infinity
}

}  // namespace aft
