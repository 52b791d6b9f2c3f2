#pragma once

#include "form.h"

namespace aft {

/// The plain form: matrices as they are, [channel, row, batch] innermost first, and every product one reduction, whose
/// values are the sums of a few neighbouring rows. The autoschedulers search faster and do better on it than on panels.
class Flat {
public:
    using Expr = Halide::Expr;
    using Left = std::function<Expr(Expr step, Expr row, Expr batch)>;
    using Right = std::function<Expr(Expr channel, Expr step, Expr row, Expr batch)>;

    struct Element {
        Expr channel, row, batch;
    };
    using Values = std::function<Expr(const Element &)>;

    /// Rows of a product that are one value of its Func, a Tuple.
    const int rows_at_once;

    const WholeWindow is_whole;

    /// Every Func of the algorithm in order of definition, for a schedule that treats all alike.
    std::vector<Halide::Func> stages;

    // Dimensions of the prepared parameters.
    static constexpr int weight_dimensions = 2;       // (channel, step)
    static constexpr int left_matrix_dimensions = 2;  // (step, row)
    static constexpr int per_row_dimensions = 1;      // (row)

    /// Targets that share a window of sources. Where a product's Tuple has so many rows, or a divisor, its rows read
    /// the same source at each step. The layout of a prepared band has this number in it, so that no kernel chooses it.
    static constexpr int tile_rows = 8;

    /// Items of a chunk of a scan, which are 32 rows where an item is a tile. A chunk of 32 tiles would leave an empty
    /// loop over the other chunks in a kernel made for less than 256 rows, at which adams2019 fails.
    static constexpr int scan_chunk = 4;

    /// Reductions run over their operands' rows and no further.
    static constexpr bool pads_reductions = false;
    static Expr padded(const Expr &extent) {
        return extent;
    }

    Flat(int rows_at_once, WholeWindow is_whole) : rows_at_once(rows_at_once), is_whole(is_whole) {}

    // ---- coordinates of what is kept per source, per channel, per chunk of rows
    std::vector<Halide::Var> source_vars() const {
        return {channel, row, batch};
    }
    std::vector<Expr> at_source(const Element &e) const {
        return {e.channel, e.row, e.batch};
    }
    std::vector<Halide::Var> channel_vars() const {
        return {channel, batch};
    }
    std::vector<Expr> at_channel(const Element &e) const {
        return {e.channel, e.batch};
    }
    static Element row_of(const Element &e, const Expr &row) {
        return {e.channel, row, e.batch};
    }
    Element variable() const {
        return {channel, row, batch};
    }
    static Element at(const Expr &channel, const Expr &row, const Expr &batch) {
        return {channel, row, batch};
    }
    static Expr tile_of(const Element &e) {
        return e.row / tile_rows;
    }
    static std::vector<Expr> at_row(const Element &e, const Expr & /*tile*/) {
        return {e.row};
    }

    /// The rows of a sequence in chunks, for reductions that no scheduler can cut: 64 rows bound the rounding error and
    /// leave enough chunks to run side by side.
    struct Chunks {
        Expr count, length, seq;
        Halide::RDom row;
        Element at(const Flat &form, const Element &e, const Expr &chunk) const {
            return form.row_of(e, Halide::min(chunk * length + row, seq - 1));
        }
        Expr inside(const Expr &chunk) const {
            return chunk * length + row < seq;
        }
    };
    Chunks chunks(const Expr &seq) const {
        const int length = 64;
        return {ceil_div(seq, length), length, seq, Halide::RDom(0, length, "chunk_row")};
    }

    // ---- operands
    struct Input {
        Left left;
    };
    /// The last rows of a product may lie past the end.
    Input input(const Halide::Func &x, const Expr & /*hidden*/, const Expr &seq) const {
        return {[=](Expr step, Expr row, Expr batch) { return x(step, Halide::min(row, seq - 1), batch); }};
    }
    Left rows(const std::string &name, const Values &values) {
        Halide::Func f = stage(name);
        f(channel, row, batch) = values(variable());
        return [f](Expr step, Expr row, Expr batch) { return f(step, row, batch); };
    }
    Left projected_rows(const std::string &name, const Values &values, const Expr & /*channels*/,
                        const Expr & /*seq*/) {
        return rows(name, values);
    }
    Left transposed_rows(const std::string &name, const Values &values) {
        return rows(name, values);
    }
    using SeveralValues = std::function<std::vector<Expr>(const Element &)>;
    struct Targets {
        SeveralValues values;
        Expr operator()(const Element &e) const {
            return values(e)[0];
        }
        Halide::Tuple all(const Element &e) const {
            return Halide::Tuple(values(e));
        }
    };
    /// Within the expression that uses them.
    Targets targets(const std::string & /*name*/, const SeveralValues &values) const {
        return {values};
    }
    Targets targets(const std::string &name, const Values &value) const {
        return targets(name, SeveralValues([value](const Element &e) { return std::vector<Expr>{value(e)}; }));
    }
    Left shared_rows(const Halide::Func &matrix, const Expr & /*rows*/) const {
        return [matrix](Expr step, Expr row, Expr) { return matrix(step, row); };
    }
    Right weights(const Halide::Func &matrix, const Halide::Func & /*largest*/) const {
        return [matrix](Expr channel, Expr step, Expr, Expr) { return matrix(channel, step); };
    }

    /// Values per source row, as right operands of a product: one Func of several values, as one loop makes them all.
    struct Columns {
        Halide::Func func;
        Halide::Tuple operator()(const std::vector<Expr> &at) const {
            return values_of(func, at);
        }
    };
    Columns columns(const std::string &name, const SeveralValues &values) {
        Columns result{stage(name)};
        result.func(source_vars()) = Halide::Tuple(values(variable()));
        return result;
    }
    Columns stored_columns(const std::string &name, const SeveralValues &values) {
        return columns(name, values);
    }
    /// Within the product that uses them.
    using Rows = std::function<Expr(const Expr &channel, const Expr &step, const Expr &batch)>;
    static Right by_rows(const std::string & /*name*/, const Rows &values) {
        return [values](Expr channel, Expr step, Expr, Expr batch) { return values(channel, step, batch); };
    }
    struct PerTile {
        Halide::Func func;
        Halide::Tuple operator()(const Element &e, const Expr &tile) const {
            return values_of(func, {e.channel, tile, e.batch});
        }
    };
    PerTile per_tile(const std::string &name, const std::function<Halide::Tuple(Element, Expr tile)> &values) {
        PerTile result{stage(name)};
        result.func(channel, row, batch) = values(variable(), row);
        return result;
    }
    /// Column values from row `first(tile)` on.
    std::vector<Right> from(const Columns &columns, const std::function<Expr(Expr)> &first) const {
        std::vector<Right> result;
        for (int i = 0; i < columns.func.outputs(); ++i) {
            result.emplace_back([=](Expr channel, Expr step, Expr row, Expr batch) {
                return columns({channel, first(row / tile_rows) + step, batch})[i];
            });
        }
        return result;
    }

    /// sum over k of left(k, row) right(channel, k), for one or two right operands; (channel, row / rows_at_once,
    /// batch). Neighbouring rows as a Tuple are a register tile that no scheduler has to find: their sums don't wait
    /// for each other, and share what is read of the right operand.
    struct Product {
        std::vector<Halide::Func> sums;
        Expr operator()(const Element &e, int i = 0) const {
            const int rows = sums[i].outputs();
            const Halide::Tuple all = values_of(sums[i], {e.channel, e.row / rows, e.batch});
            return rows == 1 ? all[0] : mux(e.row % rows, all);
        }
        Expr at(const Expr &channel, const Expr &row, const Expr &batch) const {
            return (*this)({channel, row, batch});
        }
    };
    Product product(const std::string &name, const Left &left, const std::vector<Right> &rights, const Expr &depth) {
        Product result;
        for (size_t i = 0; i < rights.size(); ++i) {
            const std::string suffix = rights.size() > 1 ? "_" + std::to_string(i) : "";
            const Halide::RDom k(0, depth, name + suffix + "_k");
            std::vector<Expr> terms;
            for (int j = 0; j < rows_at_once; ++j) {
                const Expr r = row * rows_at_once + j;
                terms.push_back(left(k, r, batch) * rights[i](channel, k, r, batch));
            }
            Halide::Func sum = stage(name + suffix);
            sum(channel, row, batch) += Halide::Tuple(terms);
            result.sums.push_back(sum);
        }
        return result;
    }

    Halide::Func stage(const std::string &name) {
        stages.emplace_back(name);
        return stages.back();
    }

    // ---- prepared parameters
    using Matrix = std::function<Expr(Expr innermost, Expr outer)>;
    /// A matrix as a right operand: matrix(step, channel) of the stored weights [channel, step].
    void pack_weight(Halide::Func packed, const Matrix &matrix, int /*operands*/) const {
        packed(channel, row) = matrix(row, channel);
    }
    /// A matrix that every sample shares, as a left operand: (step, row).
    void pack_left_matrix(Halide::Func packed, const Matrix &matrix) const {
        packed(channel, row) = matrix(channel, row);
    }
    void pack_per_row(Halide::Func packed, const std::function<Expr(Expr row)> &values) const {
        packed(row) = values(row);
    }

private:
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft
