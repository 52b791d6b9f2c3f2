#pragma once

#include "aft_exact.h"
#include "aft_local.h"

namespace aft {

/// exp(w - maximum of its row), [step, row] as a left operand; w: (source, target), [seq, seq].
/// Rows past the last target repeat it, so that padding never divides 0 by 0; steps past the last source are 0.
template<typename Form>
Halide::Func prepare_exp_bias(Form &form, Halide::Func packed, const Halide::Func &w, const Halide::Expr &seq) {
    using namespace Halide;
    const RDom source(0, seq, "source");
    const Var target("target");
    Func row_maximum("row_maximum");
    row_maximum(target) = lowest();
    row_maximum(target) = max(row_maximum(target), w(source, target));
    form.pack_left_matrix(packed, [&](const Expr &step, const Expr &row) {
        const Expr t = clamp(row, 0, seq - 1);
        return select(step >= 0 && step < seq, exp_nonpositive(w(clamp(step, 0, seq - 1), t) - row_maximum(t)), 0.0f);
    });
    return row_maximum;
}

/// AFTLocal's exp(w - m) over the window of each tile and exp(-m) outside it; see AftLocal. Reads only the band of w.
template<typename Form>
Halide::Func prepare_band(Form &form, Halide::Func band, Halide::Func outside, const Halide::Func &w,
                          const BandWindow &window, const Halide::Expr &seq) {
    using namespace Halide;
    const RDom offset(0, max(2 * window.band - 1, 0), "offset");
    const Var target("target");
    Func band_maximum("band_maximum");
    band_maximum(target) = 0.0f;
    // A source clamped into the sequence is in the band as well.
    band_maximum(target) = max(band_maximum(target), w(clamp(target - window.band + 1 + offset, 0, seq - 1), target));
    form.pack_left_matrix(band, [&](const Expr &step, const Expr &row) {
        const Expr t = clamp(row, 0, seq - 1);
        const Expr source = window.first(row / form.tile_rows) + step - window.front;
        const Expr bias = select(abs(source - t) < window.band, w(clamp(source, 0, seq - 1), t), 0.0f);
        return select(source >= 0 && source < seq, exp_nonpositive(bias - band_maximum(t)), 0.0f);
    });
    form.pack_per_row(outside, [&](const Expr &row) { return exp_nonpositive(-band_maximum(clamp(row, 0, seq - 1))); });
    return band_maximum;
}

/// The bias of the biased sources as (step, target) and as Score has it: masked where there is no source, or by -inf.
inline void prepare_exact_bias(Halide::Func packed, const Halide::Func &w, const BiasedSources &biased,
                               const Halide::Expr &seq) {
    using namespace Halide;
    const Var step("step"), target("target");
    const Expr t = clamp(target, 0, seq - 1), source = biased.first(t) + step;
    const Expr bias = w(clamp(source, 0, seq - 1), t);
    // By its bits: generated code may assume that no value is infinite.
    const Expr is_masked = reinterpret<uint32_t>(bias) == Expr(0xff800000u);
    packed(step, target) =
        select(source >= 0 && source < seq && !is_masked, bias * Score::scale, Score::of_masked_bias);
}

}  // namespace aft
