#pragma once

#include "../algorithms/means/certified.h"
#include "../algorithms/means/certified_band.h"
#include "../algorithms/means/pooled.h"
#include "packed_products.h"

namespace aft {

/// The hand schedule of the weighted mean of sources on the CPU.
class CorePacked : protected PackedProducts {
public:
    using PackedProducts::PackedProducts;

    /// A sample begins with the exponentials of its keys. One job makes a row block of it: the weights of its targets
    /// for every source, then the sums of some blocks of channels and, tile by tile, the gated quotients.
    /// With few targets a job makes blocks of channels of a sample instead, from the exponentials of their keys on.
    void schedule(Core<Panels, Certified> &core, const Halide::Func &y, const CoreInputs &in) {
        Certified<Panels> &mean = core.mean;
        schedule_sources(mean.factors, y, in);
        if (short_sequences) {
            schedule_stored(y, tiles.vector, JobsOf::panels, blocks_per_job(in));
        } else {
            schedule_rows(y, in);
            // The queries of the next tile, a line of a cache of each row: no processor guesses that.
            Func(y).prefetch(tensor_of(in.q), row_tile, row_tile, 1, Halide::PrefetchBoundStrategy::NonFaulting);
            mean.chunk_factors.compute_at(y, job).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
        }
        schedule_quotients(core, y, in);
        schedule_steps(
            mean.weights.func.compute_at(y, job).reorder(form.lane, form.row_in_tile, form.block, form.tile));
        schedule_weights(mean.factors, mean.weights.func, Halide::LoopLevel(y, job), in);
    }

    /// The same, but that a product goes over the window of its tile alone.
    void schedule(Core<Panels, CertifiedBand> &core, const Halide::Func &y, const CoreInputs &in) {
        CertifiedBand<Panels> &mean = core.mean;
        schedule_rows(y, in);
        schedule_quotients(core, y, in);
        schedule_band(mean, Halide::LoopLevel(y, y.args().back()), Halide::LoopLevel(y, job));
        schedule_steps(mean.weights.func.reorder(form.lane, form.row_in_tile, form.block, form.tile));
    }

    void schedule(Core<Panels, Pooled> &core, const Halide::Func &y, const CoreInputs &in) {
        schedule_pooled(core.mean);
        schedule_rows(y, in);
        Func(y).specialize(is_sigmoid(in));
    }
    template<typename Mean>
    void schedule(Mean &, const Halide::Func &, const CoreInputs &) {
        _halide_user_error << "packed doesn't schedule this algorithm\n";
    }

protected:
    /// The usual gate: a loop for it is without the operations of the others.
    static Halide::Expr is_sigmoid(const CoreInputs &in) {
        return in.gate == 0;
    }
    void place(Func f, const Halide::LoopLevel &at) const {
        f.compute_at(at).bound(form.lane, 0, tiles.vector);
    }
    /// A job makes a few blocks of channels of a sample.
    template<typename Stage, typename... Inner>
    void by_groups(Stage stage, const Inner &...inner) const {
        stage.split(form.block, group, form.block, 4, guard)
            .reorder(form.lane, form.block, inner..., group, form.batch)
            .vectorize(form.lane)
            .parallel(group);
    }
    void schedule_largest_key(BandFactors<Panels> &factors, const Halide::LoopLevel &at) const {
        place(factors.maximum, at);
        by_groups(factors.maximum);
        by_groups(factors.maximum.update(), factors.source);
    }
    /// The largest biases, and, where all samples have the same weights, those. copies: of them, by tiles.
    void schedule_weights(CertifiedFactors<Panels> &factors, Func copies, const Halide::LoopLevel &at,
                          const CoreInputs &in) {
        if (!factors.shared.defined()) {
            schedule_bias_maximum(factors, at);
            return;
        }
        const Var source = factors.shared.args()[0], target = factors.shared.args()[1], rows("rows");
        schedule_bias_maximum(factors, Halide::LoopLevel::root());
        factors.bias_maximum.update().split(target, rows, target, 16, guard).parallel(rows);
        factors.shared.compute_root()
            .split(target, rows, target, 16, guard)
            .vectorize(source, tiles.vector, Halide::TailStrategy::RoundUp)
            .parallel(rows);
        copies.specialize(in.shares_weights);
    }
    void schedule_of_targets(CertifiedFactors<Panels> &factors, const Halide::LoopLevel &at) {
        schedule_bias_maximum(factors, at);
    }
    void schedule_of_targets(BandFactors<Panels> &factors, const Halide::LoopLevel &at) {
        factors.seen.compute_at(at);
        schedule_bias_maximum(factors, at);
    }
    /// Makes the operands of the products of a band, once in each sample: its columns, from the largest keys on, and
    /// the sums of them outside the windows. The weights are made in each job.
    template<typename Band>
    void schedule_band(Band &band, const Halide::LoopLevel &sample, const Halide::LoopLevel &job) {
        schedule_largest_key(band.factors, sample);
        Func columns = band.columns.func, outside = band.outside->sums.func;
        place(columns, sample);
        by_groups(columns, row_of(band.columns));
        schedule_pairs(band.columns, form.block);
        place(outside, sample);
        by_groups(outside, form.tile);
        for (PrefixScan<Panels> *scan : {&band.outside->tiles_from_first, &band.outside->tiles_from_last}) {
            schedule_scan(*scan, Halide::LoopLevel(outside, group), Halide::LoopLevel(outside, group));
        }
        band.weights.func.compute_at(job);
        band.window_weights.compute_at(sample).vectorize(band.window_weights.args()[0], tiles.vector);
        schedule_of_targets(band.factors, sample);
        band.factors.outside.compute_at(sample).vectorize(band.factors.outside.args()[0], tiles.vector);
    }
    Var group{"group"};  // of blocks of channels
    // Whose sums one loop over rows makes, in registers, from four neighbouring lines of a row.
    static constexpr int blocks_at_once = 4;

    /// The sums of some blocks of channels, then tile by tile the gated quotients.
    template<template<typename> class Mean>
    void schedule_quotients(Core<Panels, Mean> &core, const Halide::Func &y, const CoreInputs &in) {
        Mean<Panels> &mean = core.mean;
        core.gated.func.compute_at(y, short_sequences ? form.tile : form.block)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .bound_extent(form.tile, 1)
            .bound_extent(form.block, 1)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .store_in(Halide::MemoryType::Stack)
            .specialize(is_sigmoid(in));
        schedule_product(mean.sums);
        mean.sums.sums.compute_at(y, short_sequences ? form.block : panels);

        // Halide skips a stage whose only use is in a select, by a condition that is known before the loop around it:
        // the doubtful tiles of these blocks are known before the first of them is computed.
        mean.doubtful.compute_at(y, short_sequences ? form.block : panels);
        mean.doubtful.update()
            .reorder(mean.of_tile.x, mean.of_tile.y, form.tile)
            .atomic()
            .vectorize(mean.of_tile.x)
            .unroll(mean.of_tile.y);
        schedule_exact(mean.exact, core.gated.func);
    }

    /// One job makes the sums of a chunk of rows of a sample, row by row, as the inputs lie in memory, for a few blocks
    /// of channels.
    void schedule_pooled(Pooled<Panels> &mean) {
        const Var chunk = mean.chunk_state.args().back();
        mean.chunk_state.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .split(form.block, group, form.block, blocks_at_once, guard)
            .reorder(form.lane, form.block, group, chunk, form.batch)
            .vectorize(form.lane)
            .parallel(chunk)
            .parallel(form.batch);
        for (Func f : {mean.chunk_maximum, mean.chunk_sums}) {
            f.compute_at(mean.chunk_state, group)
                .bound(form.lane, 0, tiles.vector)
                .bound_extent(form.block, blocks_at_once)
                .vectorize(form.lane)
                .update()
                .reorder(form.lane, form.block, mean.row.x, mean.row.y)
                .vectorize(form.lane)
                .unroll(form.block);
        }
        mean.mean.compute_root().bound(form.lane, 0, tiles.vector).vectorize(form.lane).parallel(form.batch);
        for (Func f : {mean.maximum, mean.sums}) {
            f.compute_at(mean.mean, form.block).vectorize(form.lane, tiles.vector);
            f.update().vectorize(form.lane, tiles.vector);
        }
    }
    /// A maximum per lane, then that of the lanes.
    template<typename Factors>
    void schedule_bias_maximum(Factors &factors, const Halide::LoopLevel &at) {
        Halide::RVar vectors("vectors"), lanes("lanes");
        const Var of_lane("of_lane"), target = factors.bias_maximum.args()[0];
        factors.bias_maximum.update().split(factors.any, vectors, lanes, tiles.vector, guard);
        Func lane_maximum = factors.bias_maximum.update().rfactor(lanes, of_lane);
        factors.bias_maximum.compute_at(at).update().atomic().vectorize(lanes);
        lane_maximum.compute_at(factors.bias_maximum, target).vectorize(of_lane, tiles.vector);
        lane_maximum.update().reorder(of_lane, vectors).vectorize(of_lane, tiles.vector);
    }

private:
    /// The tensor of the call that an input is.
    static Halide::Parameter tensor_of(const Func &input) {
        return input.value().as<Halide::Internal::Call>()->param;
    }
    /// Row by row, as the inputs lie in memory, for a few blocks of channels.
    void schedule_sources(CertifiedFactors<Panels> &factors, const Func &y, const CoreInputs &in) {
        ExpSources<Panels> &sources = factors.sources;
        const Var chunk = factors.maximum_so_far.args().back(), batch = y.args().back();
        const auto in_order = [&](auto stage, auto... inner) {
            if (short_sequences) {
                stage.reorder(form.lane, form.block, inner..., form.batch);
            } else {
                const Var group("group");
                stage.split(form.block, group, form.block, blocks_per_source_job(in), guard)
                    .reorder(form.lane, form.block, inner..., group, form.batch)
                    .parallel(group);
            }
            stage.vectorize(form.lane);
        };
        const auto place = [&](Func f) {
            f.bound(form.lane, 0, tiles.vector);
            if (short_sequences) {
                f.compute_at(y, job);
            } else {
                f.compute_at(y, batch);
            }
        };
        place(factors.maximum_so_far);
        in_order(factors.maximum_so_far, chunk);
        factors.maximum_so_far.update().vectorize(form.lane);
        if (sources.are_kept) {
            return;
        }
        place(sources.columns.func);
        in_order(sources.columns.func, row_of(sources.columns));
        schedule_pairs(sources.columns, form.block);
        sources.exp_key.compute_at(sources.columns.unpaired, sources.columns.in_pairs ? form.row : form.block)
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane);
        place(sources.key_maximum);
        in_order(sources.key_maximum, chunk);
        in_order(sources.key_maximum.update(), sources.row, chunk);
    }
    /// An exponential takes as long as some 32 multiply-adds. A single block of each row is a line
    /// of a cache at most, and a job that reads no more of it waits for memory at every row.
    Halide::Expr blocks_per_source_job(const CoreInputs &in) const {
        const Halide::Expr work = 32.0f * tiles.vector * in.sources;
        return Halide::max(pieces_per_job(ceil_div(in.projected, tiles.vector), work, knobs.target_group, in.batch), 4);
    }
    /// Groups of channels that a job makes, where the targets are few.
    Halide::Expr blocks_per_job(const CoreInputs &in) const {
        const Halide::Expr work = 2.0f * tiles.vector * product_of(in.targets, in.sources);
        return pieces_per_job(ceil_div(in.projected, tiles.vector), work, knobs.target_group, in.batch);
    }
    void schedule_rows(const Func &y, const CoreInputs &in) {
        schedule_stored(y, tiles.vector, JobsOf::row_tiles,
                        tiles_per_block(in.targets, in.sources, in.projected, in.batch));
    }
    /// Row by row, in the tile that needs it.
    void schedule_exact(Joint<Panels> &exact, const Func &gated) {
        exact.mean.compute_at(gated, form.tile)
            .bound(form.lane, 0, tiles.vector)
            .bound_extent(form.row, tiles.rows)
            .vectorize(form.lane);
        JointSums<Panels> &joint = exact.joint;
        joint.sums.compute_at(exact.mean, form.row).vectorize(form.lane);
        joint.sums.update().reorder(form.lane, form.row, joint.chunk).vectorize(form.lane, tiles.vector);
        const Var step = joint.scores.args().back();
        joint.scores.compute_at(joint.sums, joint.chunk)
            .bound_storage(step, joint.longest_chunk)
            .reorder(form.lane, form.row, step)
            .vectorize(form.lane, tiles.vector);
        for (Func f : {joint.chunk_maximum, joint.chunk_sums}) {
            f.compute_at(joint.sums, joint.chunk).vectorize(form.lane, tiles.vector);
            f.update().reorder(form.lane, form.row, joint.source).vectorize(form.lane, tiles.vector);
        }
    }
};

}  // namespace aft
