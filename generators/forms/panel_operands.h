#pragma once

#include "bfloat16.h"
#include "int8.h"
#include "panel_coordinates.h"

namespace aft {

/// The operands and the sums of products in panels (panels.h).
struct PanelOperands : PanelCoordinates {
    using PanelCoordinates::PanelCoordinates;

    /// Rows in int16, of these values, with the largest magnitude of each row, by way of that in each lane.
    struct Quantised {
        Halide::Func values, largest_in_lane, largest_bits, largest;
        std::function<Expr(Expr row_in_tile, Expr tile, Expr batch)> largest_of = {};
    };
    /// An operand of a product: the Func that holds it, and its element for a tile of targets.
    struct Left {
        Halide::Func func;
        std::function<Expr(Expr lane, Expr row_in_tile, Expr block, Expr tile, Expr batch)> at;
        bool rows_first = false;     // the dimensions of func begin with row_in_tile, lane
        bool widened = false;        // func is float32 of bfloat16, for schedules that widen a block at a time
        Halide::Func unpaired = {};  // transposed_rows() before they are put together as the product needs them
        Quantised quantised = {};    // where it multiplies weights in int8
        /// The values of the operand before they are quantised.
        Halide::Func values() const {
            return is_quantised() ? quantised.values : func;
        }
        bool is_quantised() const {
            return quantised.largest.defined();
        }
    };
    /// A step of a product, in a block of `steps`. `block` stays one factor in each index: of row() / 2, Halide
    /// doesn't see how many pairs a product needs that ends early, and pads them to a whole chunk.
    struct Step {
        Expr block, in_block;
        int steps;
        Expr row() const {
            return block * steps + in_block;
        }
        Expr pair() const {
            return block * (steps / 2) + in_block / 2;
        }
        Expr odd() const {
            return in_block % 2;
        }
    };
    struct Right {
        Halide::Func func;
        std::function<Expr(Expr lane, const Step &step, Expr panel, Expr tile, Expr batch)> at;
        bool shares_func = false;    // with the operand before it
        Halide::Func unpaired = {};  // func before its rows are put together in pairs
        Halide::Func largest = {};   // magnitude of each channel, (lane, panel), where func is int8
    };

    struct Targets {
        Halide::Func func;
        Expr operator()(const Element &e) const {
            return all(e)[0];
        }
        Halide::Tuple all(const Element &e) const {
            return values_of(func, {e.lane, e.row_in_tile, e.block, e.tile, e.batch});
        }
    };

    /// Values per source row, as right operands of a product: one Func of several values, as one loop makes them all.
    struct Columns {
        Halide::Func func;
        Halide::Func unpaired = {};  // before rows are put together in pairs
        bool in_pairs = false;       // (odd, lane, row / 2, block, batch)
        /// At the coordinates of a source.
        Halide::Tuple operator()(const std::vector<Expr> &at) const {
            return in_pairs ? with(as_float, values_of(func, {at[1] % 2, at[0], at[1] / 2, at[2], at[3]}))
                            : with(as_float, values_of(func, at));
        }
        /// As factors of a product whose steps begin at row `first`.
        Halide::Tuple factors(const Expr &lane, const Expr &first, const Step &step, const Expr &panel,
                              const Expr &batch) const {
            return in_pairs ? with(factor, values_of(func, {step.odd(), lane, first / 2 + step.pair(), panel, batch}))
                            : (*this)({lane, first + step.row(), panel, batch});
        }
    };
    struct PerTile {
        Halide::Func func;
        Halide::Tuple operator()(const Element &e, const Expr &tile) const {
            return values_of(func, {e.lane, tile, e.block, e.batch});
        }
    };

    /// sum over k of left(row, k) right(k, channel), for one or two right operands.
    /// sums(lane, row_in_tile, tile, panel, batch), in tile order in memory, is the sum over chunks of `partial`; the
    /// first chunk stands apart, so that a product of one chunk is written once and never read back. Where reductions
    /// aren't cut, it's all there is.
    struct Product {
        Left left;
        std::vector<Halide::Func> rights;  // each once
        Halide::Func first, partial, sums;
        Halide::RDom k;          // x: step of a part; y: part of a block; z: block of the first chunk
        Halide::RDom partial_k;  // the same of the others
        Halide::RDom chunk;      // the chunks after the first
        int vector, width, tile_rows;
        bool ends_early = false;  // at a step that the tile and the sample have
        bool in_pairs = false;    // an instruction multiplies two steps at a time
        Expr operator()(const Element &e, int i = 0) const {
            const int blocks = width / vector;
            return values_of(sums, {e.lane + (e.block % blocks) * vector, e.row_in_tile, e.tile, e.block / blocks,
                                    e.batch})[i];
        }
        Expr at(const Expr &channel, const Expr &row, const Expr &batch) const {
            return sums(channel % width, row % tile_rows, row / tile_rows, channel / width, batch);
        }
    };

protected:
    static Halide::Tuple with(Expr (*f)(const Expr &), const Halide::Tuple &values) {
        std::vector<Expr> result;
        for (const Expr &value : values.as_vector()) {
            result.push_back(f(value));
        }
        return Halide::Tuple(result);
    }
};

}  // namespace aft
