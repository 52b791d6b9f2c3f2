#pragma once

#include "../band_factors.h"
#include "proven.h"

#include <memory>

namespace aft {

/// The gradients of keys and values where the bias is one of positions within a window (ProvenGradients):
///     [S | R][j] = sum over the window of E(i, j) [a | a A'][i] + the sums of E0 [a | a A'] before and after the
///     window
/// The sum before it is left out where a target sees the sources up to its own position. The factors are those of
/// BandFactors, whose r is the same for all channels but for the largest key.
template<typename Form>
struct CertifiedBandGradients : ProvenGradients<Form> {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    BandFactors<Form> factors;
    BandWindow window;
    typename Form::Columns columns;  // a and a A'
    Halide::Func window_weights;     // E, by targets
    typename Form::Left weights;     // E^T, by tiles
    std::unique_ptr<OutsideSums<Form>> outside;
    typename Form::Product sums;

    CertifiedBandGradients(Form &form, const GradientInputs &in)
        : CertifiedBandGradients(form, in, BandFactors<Form>(form, in)) {}

private:
    CertifiedBandGradients(Form &form, const GradientInputs &in, const BandFactors<Form> &of_call)
        : ProvenGradients<Form>(form, in, [&](const Element &target) { return of_call.reference(target); }),
          factors(of_call), window(form, in.window, in.targets, in.targets, in.sees_later()),
          window_weights(factors.by_targets(form, window, window.length - 1 - 2 * window.front)) {
        using namespace Halide;
        columns = form.stored_columns("target_columns", [&](const Element &e) {
            const Expr row = e.row - window.front, inside = clamp(row, 0, in.targets - 1);
            std::vector<Expr> values = this->scaled(form.row_of(e, inside));
            for (Expr &value : values) {
                value = kept_if(row == inside, value);
            }
            return values;
        });
        weights = form.transposed_rows("weights", [&](const Element &e) {
            const Expr first_row = e.row - e.row % form.tile_rows, step = e.channel;
            const Expr target = window.first(e.row / form.tile_rows) + step - window.front,
                       inside = clamp(target, 0, in.targets - 1);
            const Expr number = e.row % form.tile_rows + select(window.spans_all, first_row, window.length - 1 - step);
            return kept_if(target == inside && e.row < in.sources, window_weights(number, inside, e.batch));
        });
        outside = std::make_unique<OutsideSums<Form>>(form, window, max(in.targets, in.sources), [&](const Element &e) {
            const Tuple values = columns(form.at_source(e));
            const Expr e0 = factors.outside(clamp(e.row - window.front, 0, in.targets - 1), e.batch);
            return Tuple(e0 * values[0], e0 * values[1]);
        });
        const Expr last_tile = ceil_div(in.sources, form.tile_rows) - 1;
        sums = form.product("sums", weights,
                            form.from(columns, [&](const Expr &tile) { return window.first(min(tile, last_tile)); }),
                            window.length);
        this->define(
            form, [&](const Element &e, int i) { return sums(e, i) + (*outside)(e, min(e.tile, last_tile))[i]; },
            [&](const Element &source) { return factors.exp_key(source); });
    }
};

}  // namespace aft
