#pragma once

#include "panel_operands.h"

namespace aft {

/// The form of a product that follows Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication":
/// operands in panels that a register tile of `rows` x two vectors or more walks along.
///   Left operands  (lane, row_in_tile, block, tile): tiles of rows; in a tile, blocks of `steps` with the steps
///     innermost. Rows are copied in whole vectors, and with a block unrolled every broadcast has a constant offset.
///   Right operands (lane, step, panel): the columns of a register tile side by side, step after step. One right
///     operand has panels of two vectors; a pair of them (K and V, numerator and denominator) has one vector each, so
///     that both sums of a channel meet in the same tile.
///     Where an instruction multiplies two steps at a time: (odd, lane, step / 2, panel), the two side by side.
/// Reductions are cut into equal chunks, the same for every tile: one chunk of a right panel serves all row tiles of a
/// row block from the nearest cache. Operands are padded with zeros to whole tiles: there is no test inside a product.
class Panels : public PanelOperands {
public:
    using Values = std::function<Expr(const Element &)>;
    using SeveralValues = std::function<std::vector<Expr>(const Element &)>;

    const Kept kept;
    const WholeWindow is_whole;

    /// Reductions run over whole chunks, past the last row of their operands.
    static constexpr bool pads_reductions = true;

    static constexpr int left_matrix_dimensions = 4;  // (lane, row_in_tile, block, tile), or (row_in_tile, lane, ..)
    static constexpr int per_row_dimensions = 2;      // (row_in_tile, tile)

    Panels(const Tiles &tiles, Kept kept, WholeWindow is_whole)
        : PanelOperands(tiles), kept(kept), is_whole(is_whole) {}

    /// Whether an instruction multiplies two steps of weights at a time.
    static constexpr bool has_pairs(Kept kept) {
        return kept == Kept::pairs || kept == Kept::int8;
    }
    static constexpr int weight_dimensions(Kept kept) {
        return has_pairs(kept) ? 4 : 3;  // ([odd,] lane, step, panel)
    }

    // ---- operands
    /// The clamp tells Halide what the tile loops can't: their last iteration ends at the last tile.
    Left left(const Halide::Func &f, const Expr &last_tile) const {
        return {f, [=](Expr lane, Expr row_in_tile, Expr block, Expr tile, Expr batch) {
                    return factor(f(lane, row_in_tile, block, Halide::min(tile, last_tile), batch));
                }};
    }
    struct Input {
        Halide::Func padded, panels;
        Left left;
    };
    Input input(const Halide::Func &x, const Expr &hidden, const Expr &seq) {
        const Halide::Func padded =
            Halide::BoundaryConditions::constant_exterior(x, 0.0f, {{0, hidden}, {0, seq}, {Expr(), Expr()}});
        const Expr value = padded(block * tiles.steps() + lane, tile * tiles.rows + row_in_tile, batch);
        const Expr last_tile = row_tiles(seq) - 1;
        if (kept == Kept::int8) {
            Halide::Func values = stage("input_rows");
            values(lane, row_in_tile, block, tile, batch) = value;
            const Left left = quantised("input", values, hidden, last_tile);
            return {padded, left.func, left};
        }
        Halide::Func f = stage("input");
        f(lane, row_in_tile, block, tile, batch) = multiplied(value);
        return {padded, f, left(f, last_tile)};
    }
    Left rows(const std::string &name, const Values &values) {
        Halide::Func f = stage(name);
        f(lane, row_in_tile, block, tile, batch) = multiplied(values(in_steps(row_in_tile, tile)));
        return {f, [f](Expr lane, Expr row_in_tile, Expr block, Expr tile, Expr batch) {
                    return factor(f(lane, row_in_tile, block, tile, batch));
                }};
    }
    /// The same for weights to multiply, which have `channels` inputs.
    Left projected_rows(const std::string &name, const Values &values, const Expr &channels, const Expr &seq) {
        if (kept != Kept::int8) {
            return rows(name, values);
        }
        Halide::Func f = stage(name);
        f(lane, row_in_tile, block, tile, batch) = values(in_tile(row_in_tile, tile));
        return quantised(name + "_units", f, channels, row_tiles(seq) - 1);
    }
    /// The same for values that lie side by side in memory from row to row: (row_in_tile, lane, block, tile, batch),
    /// and in pairs (odd, row_in_tile, lane / 2, block, tile, batch). A matrix unit needs them as rows() has them.
    Left transposed_rows(const std::string &name, const Values &values) {
        Halide::Func f = stage(name);
        f(row_in_tile, lane, block, tile, batch) = values(in_steps(row_in_tile, tile));
        if (tiles.has_matrix_unit) {
            Left left = rows(name + "_rows", [&](const Element &) { return f(row_in_tile, lane, block, tile, batch); });
            left.unpaired = f;
            return left;
        }
        if (kept == Kept::pairs) {
            Halide::Func pairs = stage(name + "_pairs");
            pairs(odd, row_in_tile, pair, block, tile, batch) =
                as_bfloat16(f(row_in_tile, pair * 2 + odd, block, tile, batch));
            return {pairs,
                    [pairs](Expr lane, Expr row_in_tile, Expr block, Expr tile, Expr batch) {
                        return factor(pairs(lane % 2, row_in_tile, lane / 2, block, tile, batch));
                    },
                    true, false, f};
        }
        return {f,
                [f](Expr lane, Expr row_in_tile, Expr block, Expr tile, Expr batch) {
                    return f(row_in_tile, lane, block, tile, batch);
                },
                true, false, f};
    }
    Targets targets(const std::string &name, const SeveralValues &values) {
        Targets result{stage(name)};
        result.func(lane, row_in_tile, block, tile, batch) = Halide::Tuple(values(in_tile(row_in_tile, tile)));
        return result;
    }
    Targets targets(const std::string &name, const Values &value) {
        return targets(name, SeveralValues([value](const Element &e) { return std::vector<Expr>{value(e)}; }));
    }
    Left shared_rows(const Halide::Func &matrix, const Expr &rows) {
        const Expr last_tile = row_tiles(rows) - 1;
        // In float32, as a Func of its own where a schedule would rather widen a block than every element that it
        // broadcasts.
        Halide::Func shared = matrix;
        if (kept == Kept::bfloat16) {
            shared = stage("shared_rows");
            shared(Halide::_) = as_float(matrix(Halide::_));
        }
        return {shared,
                [=](Expr lane, Expr row_in_tile, Expr block, Expr tile, Expr) {
                    const Expr t = Halide::min(tile, last_tile);
                    return factor(tiles.rows_first ? shared(row_in_tile, lane, block, t)
                                                   : shared(lane, row_in_tile, block, t));
                },
                tiles.rows_first, kept == Kept::bfloat16};
    }
    /// largest: of weights in int8.
    Right weights(const Halide::Func &matrix, const Halide::Func &largest) const {
        return {matrix,
                [=](Expr lane, const Step &step, Expr panel, Expr, Expr) {
                    return has_pairs(kept) ? factor(matrix(step.odd(), lane, step.pair(), panel))
                                           : as_float(matrix(lane, step.row(), panel));
                },
                false,
                {},
                largest};
    }

    Columns columns(const std::string &name, const SeveralValues &values) {
        Columns result{stage(name)};
        result.func(lane, row, block, batch) = Halide::Tuple(values(variable()));
        result.unpaired = result.func;
        return result;
    }
    /// The same, kept as the prepared parameters are.
    Columns stored_columns(const std::string &name, const SeveralValues &values) {
        if (kept == Kept::pairs) {
            Columns result{stage(name), stage(name + "_rows"), true};
            result.unpaired(lane, row, block, batch) = Halide::Tuple(values(variable()));
            result.func(odd, lane, pair, block, batch) =
                with(as_bfloat16, values_of(result.unpaired, {lane, pair * 2 + odd, block, batch}));
            return result;
        }
        return columns(name, [&](const Element &e) {
            std::vector<Expr> all = values(e);
            for (Expr &value : all) {
                value = stored(value);
            }
            return all;
        });
    }
    /// Rows as the steps of a product, as one right operand.
    using Rows = std::function<Expr(const Expr &channel, const Expr &step, const Expr &batch)>;
    Right by_rows(const std::string &name, const Rows &values) {
        Halide::Func f = stage(name);
        f(lane, row, block, batch) = values(block * tiles.width + lane, row, batch);
        if (kept == Kept::pairs) {
            Halide::Func pairs = stage(name + "_pairs");
            pairs(odd, lane, pair, block, batch) = as_bfloat16(f(lane, pair * 2 + odd, block, batch));
            return {pairs,
                    [pairs](Expr lane, const Step &step, Expr panel, Expr, Expr batch) {
                        return factor(pairs(step.odd(), lane, step.pair(), panel, batch));
                    },
                    false, f};
        }
        return {f,
                [f](Expr lane, const Step &step, Expr panel, Expr, Expr batch) {
                    return f(lane, step.row(), panel, batch);
                },
                false, f};
    }
    PerTile per_tile(const std::string &name, const std::function<Halide::Tuple(Element, Expr tile)> &values) {
        PerTile result{stage(name)};
        result.func(lane, tile, block, batch) = values(variable(), tile);
        return result;
    }
    /// Column values from row `first(tile)` on, an even one where columns are in pairs.
    std::vector<Right> from(const Columns &columns, const std::function<Expr(Expr)> &first) const {
        std::vector<Right> result;
        for (int i = 0; i < columns.func.outputs(); ++i) {
            result.push_back({columns.func,
                              [=](Expr lane, const Step &step, Expr panel, Expr tile, Expr batch) {
                                  return columns.factors(lane, first(tile), step, panel, batch)[i];
                              },
                              i > 0});
        }
        return result;
    }

    Product product(const std::string &name, const Left &left, const std::vector<Right> &rights, const Expr &depth) {
        return product(name, left, rights, depth_chunks(depth), nullptr, nullptr);
    }
    /// The same over the steps before end(tile, panel, batch), in chunks of so many, the sums of each chunk times
    /// factor(chunk, end, element), if there is one.
    using EndOfTile = std::function<Expr(const Expr &tile, const Expr &panel, const Expr &batch)>;
    using ChunkFactor = std::function<Expr(const Expr &chunk, const Expr &end, const Element &)>;
    Product product_of_chunks(const std::string &name, const Left &left, const std::vector<Right> &rights,
                              const Expr &steps, int chunk_rows, const EndOfTile &end, const ChunkFactor &factor) {
        EqualParts chunks(steps, chunk_rows);
        chunks.length = chunk_rows / tiles.steps();
        return product(name, left, rights, chunks, end, factor);
    }

    /// As prepared parameters and sources are kept.
    Expr stored(const Expr &value) const {
        return kept == Kept::float32 || kept == Kept::int8 ? value : as_bfloat16(value);
    }
    /// As the left operand of a product is kept that each call makes.
    Expr multiplied(const Expr &value) const {
        return kept == Kept::pairs ? as_bfloat16(value) : value;
    }

    static Halide::Func stage(const std::string &name) {
        return Halide::Func(name);
    }

    // ---- prepared parameters
    using Matrix = std::function<Expr(Expr innermost, Expr outer)>;
    /// A matrix as the right operand of a product of `operands` right operands.
    void pack_weight(Halide::Func packed, const Matrix &matrix, int operands) const {
        const Expr channel = block * tiles.panel_lanes(operands) + lane;
        if (kept == Kept::pairs) {
            packed(odd, lane, pair, block) = stored(matrix(pair * 2 + odd, channel));
        } else {
            packed(lane, row, block) = stored(matrix(row, channel));
        }
    }
    /// The same in int8, with the largest magnitude of each channel: (lane, panel). Returns the bits of the magnitudes.
    Halide::Func pack_weight(Halide::Func packed, Halide::Func largest, const Matrix &matrix, const Expr &inputs,
                             int operands) const {
        const Expr channel = block * tiles.panel_lanes(operands) + lane;
        const Halide::RDom step(0, inputs, "step");
        Halide::Func bits("largest_bits");
        bits(lane, block) = 0;
        bits(lane, block) = Halide::max(bits(lane, block), Int8::magnitude_bits(matrix(step, channel)));
        largest(lane, block) = Int8::largest(bits(lane, block));
        packed(odd, lane, pair, block) =
            Int8::weight(matrix(pair * 2 + odd, channel), Int8::largest(bits(lane, block)));
        return bits;
    }
    /// A matrix that every sample shares, as a left operand.
    void pack_left_matrix(Halide::Func packed, const Matrix &matrix) const {
        const Expr value = stored(matrix(block * tiles.steps() + lane, tile * tiles.rows + row_in_tile));
        if (tiles.rows_first) {
            packed(row_in_tile, lane, block, tile) = value;
        } else {
            packed(lane, row_in_tile, block, tile) = value;
        }
    }
    void pack_per_row(Halide::Func packed, const std::function<Expr(Expr row)> &values) const {
        packed(row_in_tile, tile) = values(tile * tiles.rows + row_in_tile);
    }

private:
    /// Rows of values in int16, of which the first `channels` count.
    Left quantised(const std::string &name, const Halide::Func &values, const Expr &channels,
                   const Expr &last_tile) const {
        const Halide::RDom b(0, ceil_div(channels, tiles.vector), name + "_block"), l(0, tiles.vector, name + "_lane");
        Quantised q{values, stage(name + "_largest_in_lane"), stage(name + "_largest_bits"), stage(name + "_largest")};
        const Expr bits = Int8::magnitude_bits(values(lane, row_in_tile, b, tile, batch));
        q.largest_in_lane(lane, row_in_tile, tile, batch) = 0;
        q.largest_in_lane(lane, row_in_tile, tile, batch) =
            Halide::max(q.largest_in_lane(lane, row_in_tile, tile, batch),
                        Halide::select(Halide::likely(b * tiles.vector + lane < channels), bits, 0));
        q.largest_bits(row_in_tile, tile, batch) = 0;
        q.largest_bits(row_in_tile, tile, batch) =
            Halide::max(q.largest_bits(row_in_tile, tile, batch), q.largest_in_lane(l, row_in_tile, tile, batch));
        q.largest(row_in_tile, tile, batch) = Int8::largest(q.largest_bits(row_in_tile, tile, batch));
        q.largest_of = [largest = q.largest, last_tile](Expr row_in_tile, Expr tile, Expr batch) {
            return largest(row_in_tile, Halide::min(tile, last_tile), batch);
        };
        Halide::Func f = stage(name);
        f(lane, row_in_tile, block, tile, batch) =
            Int8::input(values(lane, row_in_tile, block, tile, batch), q.largest(row_in_tile, tile, batch));
        Left result = left(f, last_tile);
        result.quantised = q;
        return result;
    }
    Product product(const std::string &name, const Left &left, const std::vector<Right> &rights,
                    const EqualParts &chunks, const EndOfTile &end, const ChunkFactor &factor) {
        const int steps = end ? tiles.steps_per_test() : tiles.steps(), parts = tiles.steps() / steps;
        const auto reduction = [&](const std::string &suffix) {
            return Halide::RDom({{0, steps}, {0, parts}, {0, chunks.length}}, name + suffix);
        };
        const Halide::RDom k = reduction("_k");
        Product p{left,
                  {},
                  stage(name + "_first"),
                  stage(name + "_partial"),
                  stage(name),
                  k,
                  k,
                  Halide::RDom({{1, chunks.parts - 1}}, name + "_chunk"),
                  tiles.vector,
                  tiles.panel_lanes(static_cast<int>(rights.size())),
                  tiles.rows};
        p.in_pairs = kept == Kept::pairs || left.is_quantised();
        for (const Right &right : rights) {
            if (!right.shares_func) {
                p.rights.push_back(right.func);
            }
        }
        const auto terms = [&](const Halide::RDom &k, const Expr &blocks_before) {
            const Expr b = blocks_before + k.z, step = k.y * steps + k.x;
            std::vector<Expr> result;
            for (const Right &right : rights) {
                result.push_back(left.at(step, row_in_tile, b, tile, batch) *
                                 right.at(lane, Step{b, step, tiles.steps()}, block, tile, batch));
            }
            return Halide::Tuple(result);
        };
        const auto times = [&](const Expr &chunk, const Halide::Tuple &sums) {
            if (left.is_quantised()) {
                std::vector<Expr> result;
                for (size_t i = 0; i < rights.size(); ++i) {
                    result.push_back(Int8::in_float(sums[static_cast<int>(i)], rights[i].largest(lane, block),
                                                    left.quantised.largest_of(row_in_tile, tile, batch)));
                }
                return Halide::Tuple(result);
            }
            if (!factor) {
                return sums;
            }
            const Expr f = factor(chunk, end(tile, block, batch), in_tile(row_in_tile, tile));
            std::vector<Expr> result;
            for (const Expr &sum : sums.as_vector()) {
                result.push_back(f * sum);
            }
            return Halide::Tuple(result);
        };
        Halide::Var chunk("chunk");
        if (end) {
            p.ends_early = true;
            p.partial_k = reduction("_partial_k");
            p.k.where(p.k.z * tiles.steps() + p.k.y * steps < end(tile, block, batch));
            p.partial_k.where((chunk * chunks.length + p.partial_k.z) * tiles.steps() + p.partial_k.y * steps <
                              end(tile, block, batch));
            p.chunk.where(p.chunk * chunks.length * tiles.steps() < end(tile, block, batch));
        }
        p.first(lane, row_in_tile, tile, block, batch) += terms(p.k, 0);
        p.sums(lane, row_in_tile, tile, block, batch) =
            times(0, values_of(p.first, {lane, row_in_tile, tile, block, batch}));
        if (tiles.depth > 0) {
            p.partial(lane, row_in_tile, tile, block, batch, chunk) += terms(p.partial_k, chunk * chunks.length);
            p.sums(lane, row_in_tile, tile, block, batch) +=
                times(p.chunk, values_of(p.partial, {lane, row_in_tile, tile, block, batch, p.chunk}));
        }
        return p;
    }
};

}  // namespace aft
