#pragma once

#include "prefix_scan.h"

namespace aft {

/// The sources that a tile of targets multiplies one by one: those with |t - t'| < s for one of its targets, rows
/// [first(tile), first(tile) + length) of the sources behind `front` rows of zeros, so that no window needs clamping
/// and its ends move by whole tiles. The form says when the window is the whole sequence for every tile instead. A
/// target may see only the sources up to itself, or only those from itself on.
struct BandWindow {
    Halide::Expr sees_before, sees_after;  // whether a target sees sources on this side of it
    Halide::Expr band, spans_all, front, step, length;

    template<typename Form>
    BandWindow(const Form &form, const Halide::Expr &window, const Halide::Expr &seq, const Halide::Expr &max_seq_len,
               const Halide::Expr &sees_before = Halide::Internal::const_true(),
               const Halide::Expr &sees_after = Halide::Internal::const_true())
        : sees_before(sees_before), sees_after(sees_after), band(clamp(window, 0, max_seq_len)) {
        // Each case by itself: Halide's bounds of rows are wider for a span that is a sum of several parts.
        const Halide::Expr s = max(band, 1), of_one_side = s + form.tile_rows - 1, of_both = 2 * s + form.tile_rows - 2,
                           sees_both = sees_before && sees_after;
        const auto is_whole = [&](const Halide::Expr &span) { return form.is_whole(span, max_seq_len); };
        const auto padded = [&](const Halide::Expr &span) { return form.padded(select(is_whole(span), seq, span)); };
        spans_all = select(sees_both, is_whole(of_both), is_whole(of_one_side));
        front = select(spans_all || !sees_before, 0, s - 1);
        step = select(spans_all, 0, form.tile_rows);
        length = select(sees_both, padded(of_both), padded(of_one_side));
    }
    Halide::Expr first(const Halide::Expr &tile) const {
        return tile * step;
    }
};

/// For each tile of targets, the sum of the rows before its window and of those after it, in two values: never as the
/// difference of two sums. The rows are those of a BandWindow; `rows` is how many there are behind its front, or how
/// many targets, where that is more. A side that isn't seen has no sums.
template<typename Form>
struct OutsideSums {
    using Element = typename Form::Element;
    using Row = std::function<Halide::Tuple(const Element &)>;

    // Before the window of tile i lie i tiles of rows, and after it as many as tiles come after i.
    PrefixScan<Form> tiles_from_first, tiles_from_last;
    typename Form::PerTile sums;

    OutsideSums(Form &form, const BandWindow &window, const Halide::Expr &rows, const Row &row)
        : tiles_from_first(
              form, "before", [&](const Halide::Expr &i) { return tile_sum(form, i * form.tile_rows, row); },
              scanned_tiles(form, window, rows, window.sees_before), Halide::Tuple(0.0f, 0.0f), add),
          tiles_from_last(
              form, "after",
              [&](const Halide::Expr &i) {
                  const Halide::Expr later_tiles = scanned_tiles(form, window, rows, window.sees_after) - 2 - i;
                  return tile_sum(form, max(window.length + later_tiles * form.tile_rows, 0), row);
              },
              scanned_tiles(form, window, rows, window.sees_after), Halide::Tuple(0.0f, 0.0f), add) {
        using namespace Halide;
        const Expr last_tile = ceil_div(rows, form.tile_rows) - 1;
        sums = form.per_tile("outside_sums", [&](const Element &e, const Expr &tile) {
            const Expr tiles_before = select(has_none(window, window.sees_before), 0, tile),
                       tiles_after = select(has_none(window, window.sees_after), 0, last_tile - tile);
            return add(tiles_from_first.of_first(tiles_before, form.at_channel(e)),
                       tiles_from_last.of_first(tiles_after, form.at_channel(e)));
        });
    }

    Halide::Tuple operator()(const Element &target, const Halide::Expr &tile) const {
        return sums(target, tile);
    }

private:
    static Halide::Tuple add(const Halide::Tuple &a, const Halide::Tuple &b) {
        return {a[0] + b[0], a[1] + b[1]};
    }
    /// Whether no tile has rows outside its window on a side.
    static Halide::Expr has_none(const BandWindow &window, const Halide::Expr &sees_side) {
        return window.spans_all || !sees_side;
    }
    /// How many tiles the scan of a side goes over.
    static Halide::Expr scanned_tiles(const Form &form, const BandWindow &window, const Halide::Expr &rows,
                                      const Halide::Expr &sees_side) {
        return select(has_none(window, sees_side), 1, ceil_div(rows, form.tile_rows));
    }
    /// The sum of one tile's worth of rows from row `first` on.
    static Halide::Tuple tile_sum(const Form &form, const Halide::Expr &first, const Row &row) {
        Halide::Tuple sum{0.0f, 0.0f};
        for (int i = 0; i < form.tile_rows; ++i) {
            sum = add(sum, row(form.row_of(form.variable(), first + i)));
        }
        return sum;
    }
};

}  // namespace aft
