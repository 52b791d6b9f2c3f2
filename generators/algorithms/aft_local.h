#pragma once

#include "layer.h"
#include "prefix_scan.h"

namespace aft {

/// The sources that a tile of targets multiplies one by one: those with |t - t'| < s for one of its targets, rows
/// [first(tile), first(tile) + length) of the sources behind `front` rows of zeros, so that no window needs clamping
/// and its ends move by whole tiles. Where such a window would span three quarters of the longest sequence, it is the
/// whole sequence for every tile: that takes no sums of what is outside, and is faster from there on
/// (docs/performance.md). It is decided by max_seq_len: the layout of the prepared band must not depend on the call.
struct BandWindow {
    Halide::Expr band, spans_all, front, step, length;

    template<typename Form>
    BandWindow(const Form &form, const Halide::Expr &window, const Halide::Expr &seq, const Halide::Expr &max_seq_len)
        : band(clamp(window, 0, max_seq_len)) {
        const Halide::Expr s = max(band, 1), span = 2 * s + form.tile_rows - 2;
        spans_all = 4 * span >= 3 * max_seq_len;
        front = select(spans_all, 0, s - 1);
        step = select(spans_all, 0, form.tile_rows);
        length = form.padded(select(spans_all, seq, span));
    }
    Halide::Expr first(const Halide::Expr &tile) const {
        return tile * step;
    }
};

/// AFTLocal: AFTFull with w = 0 for |t - t'| >= s. Every target still sees every source:
///     [N | D][t] = sum over the window of e(t, t') [EK V | EK][t'] + e0(t) (sum before + sum after the window)
/// with e = exp(w - m), e0 = exp(-m), m = max(0, maximum of w over the band of row t). All terms of D are positive.
template<typename Form>
struct AftLocal {
    typename Form::Product query, key_value, sums, output;
    Sources<Form> sources;
    PrefixScan<Form> before, after;
    typename Form::Columns outside_sums;  // per tile of targets
    Halide::Expr y;

    /// y at the element `at`. band: e of every tile's window; outside: e0.
    AftLocal(Form &form, const LayerInputs &in, const Halide::Func &band, const Halide::Func &outside,
             const BandWindow &window, const Element &at)
        : AftLocal(form, in, band, outside, window, at, form.input(in.x, in.hidden, in.seq)) {}

private:
    static Halide::Tuple add(const Halide::Tuple &a, const Halide::Tuple &b) {
        return {a[0] + b[0], a[1] + b[1]};
    }
    static Halide::Expr tile_count(const Form &form, const LayerInputs &in) {
        return ceil_div(in.seq, form.tile_rows);
    }
    /// How many tiles the scans go over: none has sources outside a window that spans all.
    static Halide::Expr scanned(const Form &form, const LayerInputs &in, const BandWindow &window) {
        return select(window.spans_all, 1, tile_count(form, in));
    }
    /// The sum of one tile's worth of source rows from row `first` on.
    Halide::Tuple block_sum(const Form &form, const Halide::Expr &first) const {
        Halide::Tuple sum{0.0f, 0.0f};
        for (int i = 0; i < form.tile_rows; i++) {
            sum = add(sum, sources.columns(form.at_source(form.source(form.variable(), first + i))));
        }
        return sum;
    }

    AftLocal(Form &form, const LayerInputs &in, const Halide::Func &band, const Halide::Func &outside,
             const BandWindow &window, const Element &at, const typename Form::Left &x)
        : query(form.product("query", x, {form.weights(in.wq)}, in.hidden)),
          key_value(form.product("key_value", x, {form.weights(in.wk), form.weights(in.wv)}, in.hidden)),
          sources(
              form, [this](const Element &e) { return key_value(e, 0); },
              [this](const Element &e) { return key_value(e, 1); }, in.seq, window.front),
          // Before the window of tile i lie i tiles of rows, and after it as many as tiles come after i.
          before(
              form, "before", [&](const Halide::Expr &i) { return block_sum(form, i * form.tile_rows); },
              scanned(form, in, window), Halide::Tuple(0.0f, 0.0f), add),
          after(
              form, "after",
              [&](const Halide::Expr &i) {
                  const Halide::Expr later_tiles = scanned(form, in, window) - 2 - i;
                  return block_sum(form, max(window.length + later_tiles * form.tile_rows, 0));
              },
              scanned(form, in, window), Halide::Tuple(0.0f, 0.0f), add) {
        using namespace Halide;
        const Expr last_tile = tile_count(form, in) - 1;
        outside_sums = form.columns("outside_sums", [&](const Element &e) {
            const Expr tiles_before = select(window.spans_all, 0, e.row),
                       tiles_after = select(window.spans_all, 0, last_tile - e.row);
            const Tuple sum =
                add(before.before(form.at_channel(e), tiles_before), after.before(form.at_channel(e), tiles_after));
            return std::vector<Expr>{sum[0], sum[1]};
        });
        sums = form.product("sums", form.shared_rows(band, in.seq),
                            form.from(sources.columns,
                                      [=](const Expr &tile) { return window.first(min(tile, last_tile)); }),
                            window.length);
        const Values mean = form.targets("mean_value", [&](const Element &e) {
            const Expr tile = min(form.tile_of(e), last_tile);
            const Tuple rest = outside_sums(form.at_source(form.source(e, tile)));
            const Expr e0 = outside(form.at_row(e, tile));
            return (sums(e, 0) + e0 * rest[0]) / (sums(e, 1) + e0 * rest[1]) + bias_at(in.bv, in.projected, e);
        });
        auto gated = form.rows("gated", [&](const Element &e) {
            return sigmoid(query(e) + bias_at(in.bq, in.projected, e)) * mean(e);
        });
        output = form.product("output", gated, {form.weights(in.wo)}, in.projected);
        y = output(at) + in.bo(at.channel);
    }
};

}  // namespace aft
