#pragma once

#include "../band_window.h"
#include "../prepared.h"
#include "../sources.h"

namespace aft {

/// AFTLocal's mean of the values: AFTFull's with w = 0 for |t - t'| >= s. Every target still sees every source:
///     [N | D][t] = sum over the window of e(t, t') [EK V | EK][t'] + e0(t) (sum before + sum after the window)
///     A = N / D + bv
/// with e = exp(w - m), e0 = exp(-m), m = max(0, maximum of w over the band of row t). All terms of D are positive.
template<typename Form>
struct Banded {
    using Element = typename Form::Element;

    BandWindow window;
    Sources<Form> sources;
    OutsideSums<Form> outside;
    typename Form::Product sums;
    typename Form::Targets value;

    static PreparedList prepared() {
        return {{"band", PreparedLayout::left_matrix}, {"outside", PreparedLayout::per_row}};
    }

    Banded(Form &form, const LayerInputs &in, const KeyValue<Form> &key_value, const PreparedFuncs &prepared)
        : window(form, in.window, in.seq, in.max_seq_len), sources(form, key_value, in.seq, window.front),
          outside(form, window, in.seq, [&](const Element &e) { return sources.columns(form.at_source(e)); }) {
        using namespace Halide;
        const Expr last_tile = ceil_div(in.seq, form.tile_rows) - 1;
        sums = form.product("sums", form.shared_rows(prepared.at("band"), in.seq),
                            form.from(sources.columns,
                                      [&](const Expr &tile) { return window.first(min(tile, last_tile)); }),
                            window.length);
        const Func e0_of_rows = prepared.at("outside");
        value = form.targets("mean_value", [this, &form, &in, last_tile, e0_of_rows](const Element &target) {
            const Expr tile = min(form.tile_of(target), last_tile);
            const Tuple rest = outside(target, tile);
            const Expr e0 = e0_of_rows(form.at_row(target, tile));
            return (sums(target, 0) + e0 * rest[0]) / (sums(target, 1) + e0 * rest[1]) +
                   bias_at(in.bv, in.projected, target.channel);
        });
    }

    typename Form::Product *target_sums() {
        return &sums;
    }

    Halide::Expr operator()(const Element &target) const {
        return value(target);
    }

    /// exp(w - m) over the window of each tile, and exp(-m) outside it. Reads only the band of w.
    static std::vector<Halide::Func> prepare(Form &form, const PreparedFuncs &to, const BiasInputs &in) {
        using namespace Halide;
        const BandWindow window(form, in.window, in.seq, in.seq);
        const RDom offset(0, max(2 * window.band - 1, 0), "offset");
        const Var target("target");
        Func band_maximum("band_maximum");
        band_maximum(target) = 0.0f;
        // A source clamped into the sequence is in the band as well.
        band_maximum(target) =
            max(band_maximum(target), in.w(clamp(target - window.band + 1 + offset, 0, in.seq - 1), target));
        form.pack_left_matrix(to.at("band"), [&](const Expr &step, const Expr &row) {
            const Expr t = clamp(row, 0, in.seq - 1);
            const Expr source = window.first(row / form.tile_rows) + step - window.front;
            const Expr w = select(abs(source - t) < window.band, in.w(clamp(source, 0, in.seq - 1), t), 0.0f);
            return select(source >= 0 && source < in.seq, exp_nonpositive(w - band_maximum(t)), 0.0f);
        });
        form.pack_per_row(to.at("outside"),
                          [&](const Expr &row) { return exp_nonpositive(-band_maximum(clamp(row, 0, in.seq - 1))); });
        return {band_maximum};
    }
};

}  // namespace aft
