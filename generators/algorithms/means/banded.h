#pragma once

#include "../prefix_scan.h"
#include "../prepared.h"
#include "../sources.h"

namespace aft {

/// The sources that a tile of targets multiplies one by one: those with |t - t'| < s for one of its targets, rows
/// [first(tile), first(tile) + length) of the sources behind `front` rows of zeros, so that no window needs clamping
/// and its ends move by whole tiles. The form says when the window is the whole sequence for every tile instead.
struct BandWindow {
    Halide::Expr band, spans_all, front, step, length;

    template<typename Form>
    BandWindow(const Form &form, const Halide::Expr &window, const Halide::Expr &seq, const Halide::Expr &max_seq_len)
        : band(clamp(window, 0, max_seq_len)) {
        const Halide::Expr s = max(band, 1), span = 2 * s + form.tile_rows - 2;
        spans_all = form.is_whole(span, max_seq_len);
        front = select(spans_all, 0, s - 1);
        step = select(spans_all, 0, form.tile_rows);
        length = form.padded(select(spans_all, seq, span));
    }
    Halide::Expr first(const Halide::Expr &tile) const {
        return tile * step;
    }
};

/// AFTLocal's mean of the values: AFTFull's with w = 0 for |t - t'| >= s. Every target still sees every source:
///     [N | D][t] = sum over the window of e(t, t') [EK V | EK][t'] + e0(t) (sum before + sum after the window)
///     A = N / D + bv
/// with e = exp(w - m), e0 = exp(-m), m = max(0, maximum of w over the band of row t). All terms of D are positive.
template<typename Form>
struct Banded {
    using Element = typename Form::Element;

    BandWindow window;
    Sources<Form> sources;
    // Before the window of tile i lie i tiles of rows, and after it as many as tiles come after i.
    PrefixScan<Form> tiles_from_first, tiles_from_last;
    typename Form::PerTile outside_sums;
    typename Form::Product sums;
    typename Form::Targets value;

    static PreparedList prepared() {
        return {{"band", PreparedLayout::left_matrix}, {"outside", PreparedLayout::per_row}};
    }

    Banded(Form &form, const LayerInputs &in, const KeyValue<Form> &key_value, const PreparedFuncs &prepared)
        : window(form, in.window, in.seq, in.max_seq_len), sources(form, key_value, in.seq, window.front),
          tiles_from_first(
              form, "before", [&](const Halide::Expr &i) { return tile_sum(form, i * form.tile_rows); },
              scanned_tiles(form, in.seq), Halide::Tuple(0.0f, 0.0f), add),
          tiles_from_last(
              form, "after",
              [&](const Halide::Expr &i) {
                  const Halide::Expr later_tiles = scanned_tiles(form, in.seq) - 2 - i;
                  return tile_sum(form, max(window.length + later_tiles * form.tile_rows, 0));
              },
              scanned_tiles(form, in.seq), Halide::Tuple(0.0f, 0.0f), add) {
        using namespace Halide;
        const Expr last_tile = ceil_div(in.seq, form.tile_rows) - 1;
        outside_sums = form.per_tile("outside_sums", [&](const Element &e, const Expr &tile) {
            const Expr tiles_before = select(window.spans_all, 0, tile),
                       tiles_after = select(window.spans_all, 0, last_tile - tile);
            return add(tiles_from_first.of_first(tiles_before, form.at_channel(e)),
                       tiles_from_last.of_first(tiles_after, form.at_channel(e)));
        });
        sums = form.product("sums", form.shared_rows(prepared.at("band"), in.seq),
                            form.from(sources.columns,
                                      [&](const Expr &tile) { return window.first(min(tile, last_tile)); }),
                            window.length);
        const Func outside = prepared.at("outside");
        value = form.targets("mean_value", [this, &form, &in, last_tile, outside](const Element &target) {
            const Expr tile = min(form.tile_of(target), last_tile);
            const Tuple rest = outside_sums(target, tile);
            const Expr e0 = outside(form.at_row(target, tile));
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

private:
    static Halide::Tuple add(const Halide::Tuple &a, const Halide::Tuple &b) {
        return {a[0] + b[0], a[1] + b[1]};
    }
    /// How many tiles the scans go over: none has sources outside a window that spans all.
    Halide::Expr scanned_tiles(const Form &form, const Halide::Expr &seq) const {
        return select(window.spans_all, 1, ceil_div(seq, form.tile_rows));
    }
    /// The sum of one tile's worth of source rows from row `first` on.
    Halide::Tuple tile_sum(const Form &form, const Halide::Expr &first) const {
        Halide::Tuple sum{0.0f, 0.0f};
        for (int i = 0; i < form.tile_rows; ++i) {
            sum = add(sum, sources.columns(form.at_source(form.row_of(form.variable(), first + i))));
        }
        return sum;
    }
};

}  // namespace aft
