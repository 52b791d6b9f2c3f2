#pragma once

#include "../band_factors.h"
#include "proven.h"

#include <memory>

namespace aft {

/// The mean of a bias of positions within a window (Proven): every target sees every source of the sample, so that
///     [N | D][i] = sum over the window of E(i, j) [EK V | EK][j] + E0(i) (sum before + sum after the window)
/// with the factors of BandFactors. All terms are positive, and no sum comes from a difference.
template<typename Form>
struct CertifiedBand : Proven<Form> {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    BandFactors<Form> factors;
    BandWindow window;
    typename Form::Columns columns;  // EK V and EK of every source
    Halide::Func window_weights;     // E, by targets
    Halide::Func weights;            // E, by tiles
    std::unique_ptr<OutsideSums<Form>> outside;
    typename Form::Product sums;

    CertifiedBand(Form &form, const CoreInputs &in)
        : Proven<Form>(form, in), factors(form, in), window(form, in.window, in.sources, in.sources),
          window_weights(factors.by_targets(form, window)), weights(form.stage("weights")) {
        using namespace Halide;
        columns = form.columns("source_columns", [&](const Element &e) {
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
        form.pack_left_matrix(weights, [&](const Expr &step, const Expr &row) {
            return window_weights(step - select(window.spans_all, 0, row % form.tile_rows), row);
        });
        outside = std::make_unique<OutsideSums<Form>>(form, window, max(in.targets, in.sources),
                                                      [&](const Element &e) { return columns(form.at_source(e)); });
        sums = form.product("sums", form.shared_rows(weights, in.targets),
                            form.from(columns, [&](const Expr &tile) { return window.first(min(tile, last_tile())); }),
                            window.length);
        this->prove({[this](const Element &e) { return sum(e, 0); }, [this](const Element &e) { return sum(e, 1); },
                     [this](const Element &e) { return factors.reference(e); }, nullptr});
    }

private:
    Expr last_tile() const {
        return ceil_div(this->in.targets, this->form.tile_rows) - 1;
    }
    Expr sum(const Element &e, int i) const {
        const Expr e0 = factors.outside(min(e.row, this->in.targets - 1));
        return sums(e, i) + e0 * (*outside)(e, min(e.tile, last_tile()))[i];
    }
};

}  // namespace aft
