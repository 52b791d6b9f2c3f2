#pragma once

#include "../algorithms/means/means.h"
#include "packed_products.h"

namespace aft {

/// The hand schedule of the CPU. Two parallel stages per layer:
///   1. keys and values: one job per (group of channel blocks, sample) or (row block, sample), ending in what the
///      targets need of the sources;
///   2. targets: one job per (row block, sample), from the query projection to the stored output.
/// In a job everything that one register tile hands to the next stays in L2.
class CpuPacked : PackedProducts {
public:
    /// short_sequences: too few rows to make jobs of; those of the second stage are groups of channels as well.
    CpuPacked(const Panels &form, const PackedKnobs &knobs, bool short_sequences)
        : PackedProducts(form, knobs), short_sequences(short_sequences) {}

    template<template<typename> class Mean>
    void schedule(Layer<Panels, Mean> &layer, const Halide::Func &y, const LayerInputs &in) {
        schedule_input(layer.input.panels, in);
        schedule_mean(layer.mean, layer.key_value.product, in);
        if (short_sequences) {
            schedule_targets_by_channels(layer, y, in);
        } else {
            schedule_targets_by_row_blocks(layer, y, in);
        }
    }

private:
    using LoopLevel = Halide::LoopLevel;

    // Multiply-adds that a job should have: 5 us of a core, twice what it takes another thread to notice it.
    static constexpr float job_work = 3e5f;
    // Weights that a job of a short sequence reads at least: 256 KiB, some 6 us from a shared cache.
    static constexpr int job_weights = 65536;

    // ---- jobs: of a sample, so that a thread stays with what it has of one in its cache; samples side by side
    /// How many of a sample's `count` pieces of work, `work` multiply-adds each, make a job: `most` where there are
    /// jobs enough; fewer where a small batch would leave threads without any, but not so few that the job isn't worth
    /// waking a thread for. No sum is split between jobs, so that the bits don't depend on it.
    Halide::Expr pieces_per_job(const Halide::Expr &count, const Halide::Expr &work, int most,
                                const LayerInputs &in) const {
        const Halide::Expr worth_a_thread = Halide::cast<int>(Halide::min(job_work / work, float(most)));
        const Halide::Expr longest = Halide::clamp(Halide::max(count * in.batch / knobs.jobs, worth_a_thread), 1, most);
        return ceil_div(count, ceil_div(count, longest));
    }
    static Halide::Expr product_of(const Halide::Expr &a, const Halide::Expr &b) {
        return Halide::cast<float>(a) * Halide::cast<float>(b);  // beyond 2^31 for some shapes
    }
    /// Row blocks are the jobs of what goes row by row.
    Halide::Expr tiles_per_block(const LayerInputs &in) const {
        const Halide::Expr work = 2.0f * tiles.rows * product_of(in.hidden, in.projected);
        return pieces_per_job(form.row_tiles(in.seq), work, tiles.block_rows, in);
    }
    /// Channel blocks whose K and V one job makes.
    Halide::Expr blocks_per_group(const LayerInputs &in) const {
        const Halide::Expr work = 2.0f * tiles.vector * product_of(in.hidden, in.seq);
        return pieces_per_job(ceil_div(in.projected, tiles.vector), work, knobs.key_value_group, in);
    }

    void schedule_input(Func input, const LayerInputs &in) {
        input.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .bound(form.block, 0, form.padded_blocks(in.hidden))
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .split(form.tile, job, form.tile, tiles_per_block(in), guard)
            .reorder(form.lane, form.row_in_tile, form.block, form.tile, job, form.batch)
            .parallel(job)
            .parallel(form.batch);
    }

    // ---- first stage
    /// One job per group of channel blocks and sample. rows: the loop within a channel block.
    void schedule_by_groups(Func columns, const Var &rows, const LayerInputs &in) {
        columns.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .split(form.block, job, form.block, blocks_per_group(in), guard)
            .reorder(form.lane, rows, form.block, job, form.batch)
            .parallel(job)
            .parallel(form.batch);
    }
    void schedule_columns(Func columns, Panels::Product &key_value, const LayerInputs &in) {
        schedule_by_groups(columns, form.row, in);
        schedule_product_by_row_blocks(key_value);
        key_value.sums.compute_at(columns, job);
    }
    void schedule_sources(Sources<Panels> &sources, Panels::Product &key_value, const LayerInputs &in) {
        Func columns = sources.columns.func;
        schedule_columns(columns, key_value, in);
        sources.key_maximum.compute_at(columns, form.block).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
        sources.key_maximum.update().vectorize(form.lane);
        sources.exp_key.compute_at(columns, form.row).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
    }
    void schedule_scan(PrefixScan<Panels> &scan, const LoopLevel &store, const LoopLevel &at) {
        for (Func f : {scan.within, scan.over}) {
            f.store_at(store).compute_at(at).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
            f.update().vectorize(form.lane);
        }
        scan.within.update().reorder(form.lane, scan.item);
    }
    template<typename Mean>
    void schedule_mean(Mean &, Panels::Product &, const LayerInputs &) {
        _halide_user_error << "packed doesn't schedule this algorithm\n";
    }
    void schedule_mean(Dense<Panels> &mean, Panels::Product &key_value, const LayerInputs &in) {
        schedule_sources(mean.sources, key_value, in);
    }
    void schedule_mean(Banded<Panels> &mean, Panels::Product &key_value, const LayerInputs &in) {
        schedule_sources(mean.sources, key_value, in);
        const Func outside = mean.outside_sums.func;
        schedule_by_groups(outside, form.tile, in);
        schedule_scan(mean.tiles_from_first, LoopLevel(outside, job), LoopLevel(outside, form.block));
        schedule_scan(mean.tiles_from_last, LoopLevel(outside, job), LoopLevel(outside, form.block));
    }
    /// One job per row block, group of channel blocks and sample.
    void schedule_mean(Softmax<Panels> &s, Panels::Product &key_value, const LayerInputs &in) {
        const Var chunk = s.chunk_state.args().back();
        s.chunk_state.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .split(form.block, job, form.block, blocks_per_group(in), guard)
            .reorder(form.lane, form.block, job, chunk, form.batch)
            .parallel(job)
            .parallel(chunk)
            .parallel(form.batch);
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
    void schedule_mean(Exact<Panels> &exact, Panels::Product &key_value, const LayerInputs &in) {
        schedule_columns(exact.rows.func, key_value, in);
        // Four targets share each source that is read.
        Var row_o("row_o"), row_i("row_i");
        exact.mean.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .split(form.row, row_o, row_i, 4, guard)
            .reorder(form.lane, row_i, row_o, form.block, form.batch)
            .fuse(form.block, form.batch, job)
            .parallel(job);
        exact.joint.sums.compute_at(exact.mean, row_o).bound_extent(form.row, 4).vectorize(form.lane).unroll(form.row);
        exact.joint.sums.update()
            .reorder(form.lane, form.row, exact.joint.chunk)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.row);
        exact.joint.scores.compute_at(exact.joint.sums, exact.joint.chunk)
            .bound_extent(form.row, 4)
            .bound_storage(exact.joint.scores.args().back(), exact.joint.longest_chunk)
            .reorder(form.lane, form.row, exact.joint.scores.args().back())
            .vectorize(form.lane, tiles.vector)
            .unroll(form.row);
        for (Func f : {exact.joint.chunk_maximum, exact.joint.chunk_sums}) {
            f.compute_at(exact.joint.sums, exact.joint.chunk)
                .bound_extent(form.row, 4)
                .vectorize(form.lane, tiles.vector)
                .unroll(form.row);
            f.update().reorder(form.lane, form.row, exact.joint.source).vectorize(form.lane, tiles.vector).unroll(form.row);
        }
        if (exact.rows_from_first) {
            schedule_scan(*exact.rows_from_first, LoopLevel(exact.mean, job), LoopLevel(exact.mean, job));
            schedule_scan(*exact.rows_from_last, LoopLevel(exact.mean, job), LoopLevel(exact.mean, job));
        }
    }

    // ---- second stage
    /// Panels of a product of `depth` steps that are a job's work: reading a weight takes longer than the few
    /// multiply-adds that it is for, and less than that isn't worth waking a thread.
    Halide::Expr panels_per_job(const Halide::Expr &depth) const {
        return Halide::max(job_weights / (depth * tiles.width), 1);
    }
    /// Two rounds of jobs: gated values, output.
    template<template<typename> class Mean>
    void schedule_targets_by_channels(Layer<Panels, Mean> &layer, Func y, const LayerInputs &in) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        y.split(row, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(channel, form.block, form.lane, tiles.width, guard)
            .split(form.block, job, form.block, panels_per_job(in.projected), guard)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, job, batch)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .unroll(form.row_in_tile)
            .parallel(job)
            .parallel(batch);
        schedule_product(layer.output);
        layer.output.sums.compute_at(y, form.block);

        Func gated = layer.gated.func;
        Panels::Product *sums = layer.mean.target_sums();
        gated.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .split(form.block, job, form.block, tiles.panel_blocks() * panels_per_job(in.hidden), guard)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, job, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .parallel(job)
            .parallel(form.batch);
        schedule_product(layer.query);
        layer.query.sums.compute_at(gated, job);
        if (sums) {
            schedule_product(*sums);
            sums->sums.compute_at(gated, job);
        }
    }
    /// The stored output by equal row blocks, guarded at its right and lower edge; in the job of a row block all that
    /// comes after the sources.
    template<template<typename> class Mean>
    void schedule_targets_by_row_blocks(Layer<Panels, Mean> &layer, Func y, const LayerInputs &in) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        Var row_tile("row_tile");
        y.split(row, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(form.tile, job, row_tile, tiles_per_block(in), guard)
            .split(channel, form.block, form.lane, tiles.width, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, form.block, job, batch)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .unroll(form.row_in_tile)
            .parallel(job)
            .parallel(batch);
        schedule_product(layer.output);
        layer.output.sums.compute_at(y, form.block);

        Func gated = layer.gated.func;
        Panels::Product *sums = layer.mean.target_sums();
        gated.compute_at(y, job)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .split(form.block, group, form.block, sums ? knobs.target_group : tiles.panel_blocks(), guard)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, group, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile);
        schedule_product(layer.query);
        layer.query.sums.compute_at(gated, group);
        if (sums) {
            schedule_product(*sums);
            sums->sums.compute_at(gated, group);
        }
    }

    const bool short_sequences;
    Var group{"group"}, job{"job"};
};

}  // namespace aft
