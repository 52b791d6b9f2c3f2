#pragma once

#include "../algorithms/aft_exact.h"
#include "../algorithms/aft_full.h"
#include "../algorithms/aft_local.h"
#include "../algorithms/aft_simple.h"

namespace aft {

/// The hand schedule of the CPU. Two parallel stages per layer:
///   1. keys and values: one job per (group of channel blocks, sample) or (row block, sample), ending in what the
///      targets need of the sources;
///   2. targets: one job per (row block, sample), from the query projection to the stored output.
/// In a job everything that one register tile hands to the next stays in L2.
class CpuPacked {
public:
    explicit CpuPacked(Panels &form) : form(form), tiles(form.tiles) {}

    void schedule(AftFull<Panels> &layer, Halide::Func y, const LayerInputs &in) {
        schedule_input(in);
        schedule_sources(layer.sources, layer.key_value);
        schedule_targets(y, layer.output, layer.query, &layer.sums, in);
    }

    void schedule(AftLocal<Panels> &layer, Halide::Func y, const LayerInputs &in) {
        schedule_input(in);
        schedule_sources(layer.sources, layer.key_value);
        schedule_outside_sums(layer);
        schedule_targets(y, layer.output, layer.query, &layer.sums, in);
    }

    void schedule(AftSimple<Panels> &layer, Halide::Func y, const LayerInputs &in) {
        schedule_input(in);
        schedule_softmax_sum(layer.softmax_sum, layer.key_value);
        schedule_targets(y, layer.output, layer.query, nullptr, in);
    }

    void schedule(AftExact<Panels> &layer, Halide::Func y, const LayerInputs &in) {
        schedule_input(in);
        schedule_columns(layer.rows.func, layer.key_value);
        schedule_exact_mean(layer);
        schedule_targets(y, layer.output, layer.query, nullptr, in);
    }

private:
    using Func = Halide::Func;
    using Var = Halide::Var;
    using LoopLevel = Halide::LoopLevel;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf;

    // Steps of a reduction per iteration of the register kernel. Unrolled over a whole block of 16, LLVM hoists so many
    // broadcasts that it spills them: 70 % of the peak instead of 92 % (AVX-512, EPYC Zen 4, 2026-11-22).
    static constexpr int unrolled_steps = 4;
    // Channel blocks whose K and V one job makes, and whose sums it then turns into sources while they are in L2.
    static constexpr int key_value_group = 4;
    // Channel blocks whose sums and queries are held at a time: 16 x 144 rows x 2 vectors of 8 floats = 144 KiB.
    static constexpr int target_group = 16;

    // ---- products
    /// The register tile lives in registers for a whole chunk; `tile_loop` is the loop over row tiles.
    void schedule_tile(const Panels::Product &p, const Var &tile_loop) {
        auto tile_of = [&](auto stage) {
            stage.vectorize(form.lane, tiles.vector).unroll(form.lane).unroll(form.row_in_tile);
        };
        auto bound = [&](Func f) { f.bound(form.lane, 0, p.width).bound(form.row_in_tile, 0, tiles.rows); };
        bound(p.sums);
        tile_of(Func(p.sums));
        tile_of(Func(p.sums).update());
        for (Func f : {p.first, p.partial}) {
            f.compute_at(p.sums, tile_loop).store_in(Halide::MemoryType::Register);
            bound(f);
            tile_of(f);
            f.update().reorder(form.lane, form.row_in_tile, p.k.x, p.k.y);
            tile_of(f.update());
            f.update().unroll(p.k.x, unrolled_steps);
        }
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

    /// Row blocks are the jobs of what goes row by row.
    Halide::Expr tiles_per_block(const LayerInputs &in) const {
        return Panels::EqualParts(form.row_tiles(in.seq), tiles.block_rows).length;
    }
    void schedule_input(const LayerInputs &in) {
        Var row_block("row_block");
        Func input = form.stages.at("input");
        input.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .bound(form.block, 0, form.padded_blocks(in.hidden))
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .split(form.tile, row_block, form.tile, tiles_per_block(in), guard)
            .fuse(row_block, form.batch, job)
            .parallel(job);
    }

    // ---- first stage
    /// One job per group of channel blocks and sample.
    void schedule_by_groups(Func columns) {
        columns.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .split(form.block, group, form.block, key_value_group, guard)
            .reorder(form.lane, form.row, form.block, group, form.batch)
            .fuse(group, form.batch, job)
            .parallel(job);
    }
    void schedule_columns(Func columns, Panels::Product &key_value) {
        schedule_by_groups(columns);
        schedule_product_by_row_blocks(key_value);
        key_value.sums.compute_at(columns, job);
    }
    void schedule_sources(Sources<Panels> &sources, Panels::Product &key_value) {
        Func columns = sources.columns.func;
        schedule_columns(columns, key_value);
        sources.key_maximum.compute_at(columns, form.block).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
        sources.key_maximum.update().vectorize(form.lane);
        sources.exp_key.compute_at(columns, form.row).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
    }
    void schedule_scan(PrefixScan<Panels> &scan, const LoopLevel &at) {
        for (Func f : {scan.within, scan.over}) {
            f.compute_at(at).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
            f.update().vectorize(form.lane);
        }
        scan.within.update().reorder(form.lane, scan.item);
    }
    void schedule_outside_sums(AftLocal<Panels> &layer) {
        Func sums = layer.outside_sums.func;
        schedule_by_groups(sums);
        schedule_scan(layer.before, LoopLevel(sums, form.block));
        schedule_scan(layer.after, LoopLevel(sums, form.block));
    }
    void schedule_softmax_sum(SoftmaxSum<Panels> &s, Panels::Product &key_value) {
        const Var chunk = s.chunk_state.args().back();
        s.chunk_state.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .reorder(form.lane, form.block, chunk, form.batch)
            .fuse(chunk, form.batch, job)
            .parallel(job);
        for (Func f : {s.chunk_maximum, s.chunk_sums}) {
            f.compute_at(s.chunk_state, form.block).vectorize(form.lane, tiles.vector);
            f.update().vectorize(form.lane, tiles.vector);
        }
        s.chunk_maximum.update().unroll(s.row.x);
        s.chunk_sums.update().unroll(s.row.x);
        schedule_product(key_value);
        key_value.sums.compute_at(s.chunk_state, form.block);
        s.mean.compute_root().bound(form.lane, 0, tiles.vector).vectorize(form.lane);
        for (Func f : {s.maximum, s.sums}) {
            f.compute_at(s.mean, form.block).vectorize(form.lane, tiles.vector);
            f.update().vectorize(form.lane, tiles.vector);
        }
    }
    void schedule_exact_mean(AftExact<Panels> &layer) {
        // Four targets share each source that is read.
        Var row_o("row_o"), row_i("row_i");
        layer.mean.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .split(form.row, row_o, row_i, 4, guard)
            .reorder(form.lane, row_i, row_o, form.block, form.batch)
            .fuse(form.block, form.batch, job)
            .parallel(job);
        for (Func f : {layer.maximum, layer.sums}) {
            f.compute_at(layer.mean, row_o)
                .bound_extent(form.row, 4)
                .vectorize(form.lane, tiles.vector)
                .unroll(form.row);
            f.update().reorder(form.lane, form.row, layer.source).vectorize(form.lane, tiles.vector).unroll(form.row);
        }
        if (layer.before) {
            schedule_scan(*layer.before, LoopLevel(layer.mean, job));
            schedule_scan(*layer.after, LoopLevel(layer.mean, job));
        }
    }

    // ---- second stage
    /// The stored output by equal row blocks, guarded at its right and lower edge; in the job of a row block all that
    /// comes after the sources. sums: null where the mean of the values is computed before.
    void schedule_targets(Func y, Panels::Product &output, Panels::Product &query, Panels::Product *sums,
                          const LayerInputs &in) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        Var row_block("row_block"), row_tile("row_tile");
        y.split(row, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(form.tile, row_block, row_tile, tiles_per_block(in), guard)
            .split(channel, form.block, form.lane, tiles.width, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, form.block, row_block, batch)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .unroll(form.row_in_tile)
            .fuse(row_block, batch, job)
            .parallel(job);
        schedule_product(output);
        output.sums.compute_at(y, form.block);

        Func gated = form.stages.at("gated");
        gated.compute_at(y, job)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .split(form.block, group, form.block, sums ? target_group : 2, guard)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, group, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile);
        schedule_product(query);
        query.sums.compute_at(gated, group);
        if (sums) {
            schedule_product(*sums);
            sums->sums.compute_at(gated, group);
        }
    }

    Panels &form;
    const Tiles &tiles;
    Var group{"group"}, job{"job"};
};

}  // namespace aft
