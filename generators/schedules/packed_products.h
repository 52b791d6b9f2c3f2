#pragma once

#include "../forms/panels.h"
#include "tiles.h"

namespace aft {

/// The products of the hand schedules of the CPU.
class PackedProducts {
protected:
    using Func = Halide::Func;
    using Var = Halide::Var;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf;

    PackedProducts(const Panels &form, const PackedKnobs &knobs) : form(form), tiles(form.tiles), knobs(knobs) {}

    /// The register tile lives in registers for a whole chunk; `tile_loop` is the loop over row tiles.
    void schedule_tile(const Panels::Product &p, const Var &tile_loop) {
        auto tile_of = [&](auto stage) {
            stage.vectorize(form.lane, tiles.vector).unroll(form.lane).unroll(form.row_in_tile);
        };
        auto bound = [&](Func f) { f.bound(form.lane, 0, p.width).bound(form.row_in_tile, 0, tiles.rows); };
        bound(p.sums);
        tile_of(Func(p.sums));
        tile_of(Func(p.sums).update());
        for (auto [f, k] : {std::pair(p.first, p.k), std::pair(p.partial, p.partial_k)}) {
            f.compute_at(p.sums, tile_loop).store_in(Halide::MemoryType::Register);
            bound(f);
            tile_of(f);
            f.update().reorder(form.lane, form.row_in_tile, k.x, k.y);
            tile_of(f.update());
            f.update().unroll(k.x, knobs.unrolled_steps);
            if (p.left.widened) {
                widen_left(p, f, tile_loop);
            }
        }
    }
    /// The left values of a tile and a chunk in float32, from which the register kernel broadcasts. Widened block by
    /// block between its steps, they'd cost it the registers of its sums.
    void widen_left(const Panels::Product &p, Func of, const Var &tile_loop) {
        Func left = p.left.func;
        const std::vector<Var> vars = left.args();
        left.in(of)
            .compute_at(p.sums, tile_loop)
            .bound_extent(vars[0], tiles.vector)
            .bound_extent(vars[1], tiles.rows)
            .vectorize(vars[0])
            .unroll(vars[1]);
    }
    /// Loops, outer to inner: panel, chunk, row tile.
    void schedule_product(Panels::Product &p) {
        p.sums.reorder(form.lane, form.row_in_tile, form.tile, form.block, form.batch);
        p.sums.update().reorder(form.lane, form.row_in_tile, form.tile, p.chunk, form.block, form.batch);
        schedule_tile(p, form.tile);
    }
    /// Loops: row block, panel, chunk, row tile.
    void schedule_product_by_row_blocks(Panels::Product &p) {
        Var row_block("row_block"), row_tile("row_tile");
        p.sums.split(form.tile, row_block, row_tile, tiles.block_rows, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, form.block, row_block, form.batch);
        p.sums.update()
            .split(form.tile, row_block, row_tile, tiles.block_rows, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, p.chunk, form.block, row_block, form.batch);
        schedule_tile(p, row_tile);
    }

    const Panels &form;
    const Tiles &tiles;
    const PackedKnobs knobs;
};

}  // namespace aft
