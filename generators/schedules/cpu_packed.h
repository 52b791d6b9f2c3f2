#pragma once

#include "../algorithms/means/means.h"
#include "packed_products.h"

namespace aft {

/// The hand schedule of the CPU. Two parallel stages per layer:
///   1. keys and values: one job per (group of channel blocks, sample) or (row block, sample), ending in what the
///      targets need of the sources;
///   2. targets: one job per (row block, sample), from the query projection to the stored output.
/// In a job everything that one register tile hands to the next stays in L2. With short sequences, the jobs of the
/// second stage are groups of channels as well.
class CpuPacked : public PackedProducts {
public:
    using PackedProducts::PackedProducts;
    using PackedProducts::schedule;

    template<template<typename> class Mean>
    void schedule(Layer<Panels, Mean> &layer, const Halide::Func &y, const LayerInputs &in) {
        schedule_left(layer.input.left, in.hidden, tiles_per_block(in));
        schedule_mean(layer.mean, layer.key_value.product, in);
        if (short_sequences) {
            schedule_targets_by_channels(layer, y, in);
        } else {
            schedule_targets_by_row_blocks(layer, y, in);
        }
    }

private:
    using LoopLevel = Halide::LoopLevel;

    // ---- jobs
    Halide::Expr tiles_per_block(const LayerInputs &in) const {
        return PackedProducts::tiles_per_block(in.seq, in.hidden, in.projected, in.batch);
    }
    /// Channel blocks whose K and V one job makes.
    Halide::Expr blocks_per_group(const LayerInputs &in) const {
        const Halide::Expr work = 2.0f * tiles.vector * product_of(in.hidden, in.seq);
        return pieces_per_job(ceil_div(in.projected, tiles.vector), work, knobs.key_value_group, in.batch);
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
    void schedule_columns(Panels::Columns &columns, Panels::Product &key_value, const LayerInputs &in) {
        schedule_by_groups(columns.func, row_of(columns), in);
        schedule_pairs(columns, form.pair);
        schedule_product_by_row_blocks(key_value);
        key_value.sums.compute_at(columns.func, job);
    }
    void schedule_sources(Sources<Panels> &sources, Panels::Product &key_value, const LayerInputs &in) {
        schedule_columns(sources.columns, key_value, in);
        sources.key_maximum.compute_at(sources.columns.func, form.block)
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane);
        sources.key_maximum.update().vectorize(form.lane);
        sources.exp_key.compute_at(sources.columns.unpaired, form.row)
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane);
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
        const Func outside = mean.outside.sums.func;
        schedule_by_groups(outside, form.tile, in);
        schedule_scan(mean.outside.tiles_from_first, LoopLevel(outside, job), LoopLevel(outside, form.block));
        schedule_scan(mean.outside.tiles_from_last, LoopLevel(outside, job), LoopLevel(outside, form.block));
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
        schedule_columns(exact.rows, key_value, in);
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
            f.update()
                .reorder(form.lane, form.row, exact.joint.source)
                .vectorize(form.lane, tiles.vector)
                .unroll(form.row);
        }
        if (exact.rows_from_first) {
            schedule_scan(*exact.rows_from_first, LoopLevel(exact.mean, job), LoopLevel(exact.mean, job));
            schedule_scan(*exact.rows_from_last, LoopLevel(exact.mean, job), LoopLevel(exact.mean, job));
        }
    }

    // ---- second stage
    /// Two rounds of jobs: gated values, output.
    template<template<typename> class Mean>
    void schedule_targets_by_channels(Layer<Panels, Mean> &layer, Func y, const LayerInputs &in) {
        schedule_output(y, layer.output, JobsOf::panels, panels_per_job(in.projected));

        Func gated = layer.gated.values();
        if (layer.gated.is_quantised()) {
            schedule_left(layer.gated, in.projected, tiles_per_block(in));
        }
        Panels::Product *sums = layer.mean.target_sums();
        schedule_steps(gated.compute_root()
                           .split(form.block, job, form.block,
                                  step_blocks(tiles.panel_blocks()) * panels_per_job(in.hidden), guard)
                           .reorder(form.lane, form.row_in_tile, form.tile, form.block, job, form.batch)
                           .parallel(job)
                           .parallel(form.batch));
        schedule_product(layer.query);
        layer.query.sums.compute_at(gated, job);
        if (sums) {
            schedule_product(*sums);
            sums->sums.compute_at(gated, job);
        }
    }
    /// In the job of a row block of the output, all that comes after the sources.
    template<template<typename> class Mean>
    void schedule_targets_by_row_blocks(Layer<Panels, Mean> &layer, Func y, const LayerInputs &in) {
        schedule_output(y, layer.output, JobsOf::row_tiles, tiles_per_block(in));

        Func gated = layer.gated.values();
        if (layer.gated.is_quantised()) {
            schedule_left_at(layer.gated, in.projected, y, job);
        }
        Panels::Product *sums = layer.mean.target_sums();
        schedule_steps(gated.compute_at(y, job)
                           .split(form.block, group, form.block,
                                  step_blocks(sums ? knobs.target_group : tiles.panel_blocks()), guard)
                           .reorder(form.lane, form.row_in_tile, form.tile, form.block, group, form.batch));
        schedule_product(layer.query);
        layer.query.sums.compute_at(gated, group);
        if (sums) {
            schedule_product(*sums);
            sums->sums.compute_at(gated, group);
        }
    }

    Var group{"group"};
};

}  // namespace aft
