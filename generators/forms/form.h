#pragma once

#include "Halide.h"

#include <functional>
#include <string>
#include <vector>

namespace aft {

// A form is a layout of activations, weights and products. An algorithm is written once, over any form. A schedule
// chooses the form that it works on. Flat and Panels have these members:
//
//   Element                   one value of an activation, in the coordinates of the form; also its channel, row, batch
//   Values                    an activation as a function of an Element
//   variable()                the Element at the pure variables of a Func per source
//   row_of(e, row)            the Element of another row, with the channel and the sample of e
//   at(channel, row, batch)   the Element of a channel of a row of a sample
//
//   source_vars(), at_source(e)     the coordinates of a Func that has a value per source row
//   channel_vars(), at_channel(e)   those of a Func that has a value per channel and sample
//   chunks(seq)               the rows of a sequence in chunks: count, at(form, e, chunk), inside(chunk), and their row
//                             as a reduction variable
//   tile_rows, tile_of(e)     targets of a tile share a window of sources; the tile of a target
//   at_row(e, tile)           where a Func of pack_per_row() has the value of a target
//   per_tile(name, values)    values per tile of targets, channel and sample, as a Func
//   is_whole(span, longest)   whether a window of so many rows is taken as the whole sequence: a schedule's choice
//
//   Input, input(x, ...)      the input of the layer as a left operand, and its stages
//   rows(name, values)        an activation as a left operand
//   projected_rows(name, values, channels, seq)   the same for weights to multiply, so many channels of so many rows
//   transposed_rows(...)      the same for values that lie side by side in memory from row to row
//   shared_rows(matrix, ...)  a matrix that all samples share, as a left operand
//   targets(name, values)     one or more values of the targets that a schedule may compute apart
//   weights(matrix, largest)  prepared weights as a right operand; in int8 with the largest one of each channel
//   columns(name, values)     one or more values per source row in one Func; stored_columns(): kept as weights are
//   by_rows(name, values)     rows as the steps of a product, as one right operand
//   from(columns, first)      columns as right operands, from row first(tile) on
//   Product, product(name, left, rights, depth)   sum over k of left(row, k) right(k, channel), for each right operand.
//                             (e, i) is the i-th sum at an Element, at(channel, row, batch) that of one right operand
//   (Panels) product_of_chunks(name, left, rights, steps, rows, end, factor)   the same over the steps before
//                             end(tile, panel, batch), the sums of each chunk of so many times a factor
//   pads_reductions, padded(extent)   whether reductions run past the last row of their operands, and how far
//   stage(name)               a new Func of the algorithm
//
//   weight_dimensions, left_matrix_dimensions, per_row_dimensions   of prepared parameters
//   pack_weight, pack_left_matrix, pack_per_row     define them

/// Whether a window that spans `span` rows is taken as the whole sequence: from this share of the longest sequence on.
/// The schedule chooses the share. max_seq_len decides, as the layout of the prepared band must not depend on the call.
struct WholeWindow {
    int numerator, denominator;

    Halide::Expr operator()(const Halide::Expr &span, const Halide::Expr &longest) const {
        return denominator * span >= numerator * longest;
    }
};

inline Halide::Expr ceil_div(const Halide::Expr &a, const Halide::Expr &b) {
    return (a + b - 1) / b;
}

/// `count` things in equal parts of at most `longest`; 0: in one part.
struct EqualParts {
    Halide::Expr parts, length;
    EqualParts(const Halide::Expr &count, int longest)
        : parts(longest > 0 ? ceil_div(count, longest) : 1), length(ceil_div(count, parts)) {}
};

/// All values of a Func of one or of several values.
inline Halide::Tuple values_of(const Halide::Func &f, const std::vector<Halide::Expr> &at) {
    return f.outputs() == 1 ? Halide::Tuple(Halide::Expr(f(at))) : Halide::Tuple(f(at));
}

inline std::vector<Halide::Expr> as_exprs(const std::vector<Halide::Var> &vars) {
    return {vars.begin(), vars.end()};
}

}  // namespace aft
