#pragma once

#include "../band_factors.h"
#include "proven.h"

#include <memory>

namespace aft {

/// The mean of a bias of positions within a window (Proven): every target sees every source of the sample, so that
///     [N | D][i] = sum over the window of E(i, j) [EK V | EK][j] + E0(i) (sum before + sum after the window)
/// or every source up to its own position, so that there is nothing after the window. The factors are those of
/// BandFactors. All terms are positive, and no sum comes from a difference.
template<typename Form>
struct CertifiedBand : Proven<Form> {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    BandFactors<Form> factors;
    BandWindow window;
    typename Form::Columns columns;  // EK V and EK of every source
    Halide::Func window_weights;     // E, by targets
    typename Form::Left weights;     // E, by tiles
    std::unique_ptr<OutsideSums<Form>> outside;
    typename Form::Product sums;

    CertifiedBand(Form &form, const CoreInputs &in)
        : Proven<Form>(form, in), factors(form, in),
          window(form, in.window, in.sources, in.sources, Halide::Internal::const_true(), in.sees_later()),
          window_weights(factors.by_targets(form, window, form.tile_rows - 1)) {
        using namespace Halide;
        columns = form.stored_columns("source_columns", [&](const Element &e) {
            const Expr row = e.row - window.front;
            const Element source = form.row_of(e, clamp(row, 0, in.sources - 1));
            const Expr key = in.key_at(source.channel, source.row, source.batch);
            const Expr exp_k = kept_if(row == source.row, factors.exp_key(source));
            // A key that is a NaN makes the numerator one: the exact sums then tell who sees it.
            const Expr value =
                select(is_nan_bits(key), key, exp_k * in.value_at(source.channel, source.row, source.batch));
            const Expr counts = row == source.row && in.counts(source.channel, source.row, source.batch);
            return std::vector<Expr>{kept_if(counts, value), exp_k};
        });
        weights = form.rows("weights", [&](const Element &e) {
            const Expr number = e.channel + select(window.spans_all, 0, form.tile_rows - 1 - e.row % form.tile_rows);
            return window_weights(number, e.row, e.batch);
        });
        outside = std::make_unique<OutsideSums<Form>>(form, window, max(in.targets, in.sources),
                                                      [&](const Element &e) { return columns(form.at_source(e)); });
        sums = form.product("sums", weights,
                            form.from(columns, [&](const Expr &tile) { return window.first(min(tile, last_tile())); }),
                            window.length);
        this->prove({[this](const Element &e) { return sum(e, 0); }, [this](const Element &e) { return sum(e, 1); },
                     [this](const Element &e) { return reference(e); },
                     [this](const Element &e) { return sees_none(e); }});
    }

private:
    Expr last_tile() const {
        return ceil_div(this->in.targets, this->form.tile_rows) - 1;
    }
    Expr target_of(const Element &e) const {
        return min(e.row, this->in.targets - 1);
    }
    /// Rounded, as a kernel that saves more of a target would fuse other operations, and have other bits.
    Expr sum(const Element &e, int i) const {
        return this->in.rounded(sums(e, i) +
                                factors.outside(target_of(e), e.batch) * (*outside)(e, min(e.tile, last_tile()))[i]);
    }
    Expr sees_none(const Element &e) const {
        return e.row >= this->in.targets || factors.sees_none(target_of(e), e.batch);
    }
    Score reference(const Element &e) const {
        const Score known = factors.reference(e);
        return {select(sees_none(e), Score::masked().high, known.high), known.low};
    }
};

}  // namespace aft
