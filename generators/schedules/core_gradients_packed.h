#pragma once

#include "../algorithms/gradients/certified.h"
#include "../algorithms/gradients/certified_band.h"
#include "../algorithms/gradients/certified_bias.h"
#include "../algorithms/gradients/pooled.h"
#include "core_packed.h"

namespace aft {

/// The hand schedule of the gradients of a mean on the CPU.
class CoreGradientsPacked : CorePacked {
public:
    using CorePacked::CorePacked;

    void schedule(CertifiedGradients<Panels> &gradients, const Func &dq, const Func &d, const GradientInputs &in) {
        const Halide::LoopLevel sample(d, d.args().back());
        schedule_both(gradients, dq, d, in);
        schedule_transposed(gradients.weights);
        gradients.weights.func.compute_at(d, job);
        schedule_factors(gradients.factors, sample);
        schedule_weights(gradients.factors, gradients.weights.unpaired, sample, in);
        place(gradients.columns.func, sample);
        by_groups(gradients.columns.func, row_of(gradients.columns));
        schedule_pairs(gradients.columns, form.block);
    }
    /// The same, but that a product goes over the window of its tile alone.
    void schedule(CertifiedBandGradients<Panels> &gradients, const Func &dq, const Func &d, const GradientInputs &in) {
        schedule_both(gradients, dq, d, in);
        schedule_band(gradients, Halide::LoopLevel(d, d.args().back()), Halide::LoopLevel(d, job));
        schedule_transposed(gradients.weights);
    }

    /// Each sample begins with its operands. A job makes a row block of targets, some panels of sources after the
    /// other, and adds one sample after the other.
    template<template<typename> class Factors>
    void schedule(BiasGradientsOf<Panels, Factors> &gradients, const Func &bias, const BiasGradientInputs &in) {
        const Halide::LoopLevel root = Halide::LoopLevel::root();
        schedule_factors(gradients.factors, root);
        schedule_scaled(gradients.targets, root, in);
        for (const Func &f : per_channel(gradients.factors)) {
            in_parallel(f);
        }
        in_parallel(gradients.targets.value_range);
        in_parallel(gradients.targets.scaled);
        // Vector by vector, so that all but the last one of a row need no test for where it ends.
        gradients.weights.compute_at(gradients.total, form.block)
            .bound_extent(gradients.weights.args()[0], tiles.width)
            .bound_extent(gradients.weights.args()[1], tiles.rows)
            .vectorize(gradients.weights.args()[0], tiles.vector)
            .store_in(Halide::MemoryType::Stack);
        schedule_of_targets(gradients.factors, root);
        const Var tile = gradients.doubtful.args()[0];
        gradients.doubtful.compute_root()
            .parallel(gradients.doubtful.args()[1])
            .update()
            .parallel(gradients.doubtful.args()[1])
            .reorder(gradients.any.x, gradients.any.z, gradients.any.y, tile)
            .atomic()
            .vectorize(gradients.any.x);
        schedule_steps(gradients.rows.func.compute_root().parallel(form.tile).parallel(form.batch));

        gradients.steps.compute_root().vectorize(form.tile, tiles.vector).parallel(form.batch);
        Func by_step = gradients.sources.func;
        by_step.compute_root()
            .bound(form.lane, 0, tiles.width)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .parallel(form.block)
            .parallel(form.batch);
        if (form.kept == Kept::pairs) {
            schedule_pairs(by_step, gradients.sources.unpaired, tiles.width, form.pair);
        }
        gradients.columns.func.compute_at(by_step, form.block)
            .bound(form.lane, 0, tiles.vector)
            .reorder(form.lane, form.block, form.row)
            .vectorize(form.lane);

        const Var source = bias.args()[0], target = bias.args()[1];
        const Halide::Expr per_job = tiles_per_block(in.targets, in.sources, in.projected, 1);
        Func(bias)
            .split(target, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(source, form.block, form.lane, tiles.width, guard)
            .split(form.block, panels, form.block, panels_at_once(tiles.width), guard)
            .split(form.tile, job, row_tile, per_job, guard)
            .reorder(form.lane, form.row_in_tile, form.block, row_tile, panels, job, bias.args()[2])
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .unroll(form.row_in_tile)
            .parallel(job)
            .parallel(bias.args()[2]);
        gradients.total.compute_at(bias, panels)
            .reorder(form.lane, form.row_in_tile, form.block, form.tile, form.batch);
        gradients.total.update().reorder(form.lane, form.row_in_tile, form.block, form.tile, gradients.sample,
                                         form.batch);
        schedule_product(gradients.sums);
        gradients.sums.sums.compute_at(gradients.total, gradients.sample);
        gradients.of_sample.compute_at(gradients.total, form.block)
            .bound_extent(form.tile, 1)
            .bound_extent(form.block, 1)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, form.batch)
            .store_in(Halide::MemoryType::Stack);
        for (Func f : {gradients.of_sample, gradients.total}) {
            f.bound(form.lane, 0, tiles.width).bound(form.row_in_tile, 0, tiles.rows);
        }
        for (Halide::Stage stage : {Halide::Stage(gradients.of_sample), Halide::Stage(gradients.total),
                                    Halide::Stage(gradients.total.update())}) {
            stage.vectorize(form.lane, tiles.vector).unroll(form.lane).unroll(form.row_in_tile);
        }
        Func exact = gradients.exact.sums;
        const Var source_of_exact = exact.args()[0], target_of_exact = exact.args()[1];
        exact.compute_at(gradients.of_sample, form.tile)
            .bound_extent(source_of_exact, tiles.width)
            .bound_extent(target_of_exact, tiles.rows)
            .vectorize(source_of_exact, tiles.vector);
        exact.update()
            .reorder(source_of_exact, target_of_exact, gradients.exact.term.x)
            .vectorize(source_of_exact, tiles.vector);
    }

    void schedule(PooledGradients<Panels> &gradients, const Func &dq, const Func &d, const GradientInputs &in) {
        schedule_pooled(gradients.mean);
        for (Func f : {gradients.mean.maximum, gradients.mean.sums}) {
            f.compute_root();
        }
        const Var chunk = gradients.chunk_sum.args().back();
        gradients.chunk_sum.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .update()
            .split(form.block, group, form.block, blocks_at_once, guard)
            .reorder(form.lane, form.block, gradients.row.x, gradients.row.y, group, chunk, form.batch)
            .vectorize(form.lane)
            .parallel(chunk)
            .parallel(form.batch)
            .specialize(is_sigmoid(in));
        gradients.sum.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .update()
            .vectorize(form.lane);
        gradients.of_weight.compute_root().bound(form.lane, 0, tiles.vector).vectorize(form.lane);
        schedule_elementwise(dq, in.targets, in);
        schedule_elementwise(d, in.sources, in);
        // Row by row together: where the gradients of a row lie side by side, as those of a layer do, the CPU reads and
        // writes long pieces of memory.
        Func(d).compute_with(dq, d.args()[1]);
    }
    void schedule(JointBiasGradients<Panels> &, const Func &, const BiasGradientInputs &) {
        _halide_user_error << "packed doesn't schedule this algorithm\n";
    }
    void schedule(JointGradients<Panels> &, const Func &, const Func &, const GradientInputs &) {
        _halide_user_error << "packed doesn't schedule this algorithm\n";
    }

private:
    /// A sample begins with what the products need of its targets. One job makes a row block of sources: the weights
    /// that all targets give them, then the gradients of one block of channels after the other.
    template<typename Gradients>
    void schedule_both(Gradients &gradients, const Func &dq, const Func &d, const GradientInputs &in) {
        schedule_stored(d, tiles.vector, JobsOf::row_tiles,
                        tiles_per_block(in.sources, in.targets, in.projected, in.batch));
        gradients.both.func.compute_at(d, form.block)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .bound_extent(form.tile, 1)
            .bound_extent(form.block, 1)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .store_in(Halide::MemoryType::Stack);
        schedule_product(gradients.sums);
        gradients.sums.sums.compute_at(d, panels);
        const Halide::LoopLevel sample(d, d.args().back());
        schedule_scaled(gradients.targets, sample, in);
        gradients.doubtful.compute_at(sample)
            .update()
            .reorder(gradients.any.x, gradients.any.y, form.block)
            .atomic()
            .vectorize(gradients.any.x);
        schedule_exact(gradients.exact, gradients.both.func);
        schedule_elementwise(dq, in.targets, in);
        Func(dq).specialize(is_sigmoid(in));
    }
    static std::vector<Func> per_channel(const CertifiedFactors<Panels> &factors) {
        return {factors.maximum_so_far, factors.sources.key_maximum};
    }
    static std::vector<Func> per_channel(const BandFactors<Panels> &factors) {
        return {factors.maximum};
    }
    void in_parallel(Func f) const {
        f.parallel(form.batch);
        for (int i = 0; i < f.num_update_definitions(); ++i) {
            f.update(i).parallel(form.batch);
        }
    }
    void schedule_factors(BandFactors<Panels> &factors, const Halide::LoopLevel &at) {
        schedule_largest_key(factors, at);
    }
    void schedule_factors(CertifiedFactors<Panels> &factors, const Halide::LoopLevel &at) {
        const Var chunk = factors.maximum_so_far.args().back();
        place(factors.maximum_so_far, at);
        by_groups(factors.maximum_so_far, chunk);
        factors.maximum_so_far.update().vectorize(form.lane);
        place(factors.sources.key_maximum, at);
        by_groups(factors.sources.key_maximum, chunk);
        by_groups(factors.sources.key_maximum.update(), factors.sources.row, chunk);
    }
    void schedule_scaled(ScaledTargets<Panels> &targets, const Halide::LoopLevel &at, const GradientInputs &in) {
        place(targets.value_range, at);
        targets.value_range.vectorize(form.lane);
        by_groups(targets.value_range.update(), targets.of_values);
        // Row by row, as the inputs lie in memory.
        const Var rows("rows");
        place(targets.scaled, at);
        targets.scaled.split(form.row, rows, form.row, 16, guard)
            .reorder(form.lane, form.block, form.row, rows, form.batch)
            .vectorize(form.lane)
            .parallel(rows)
            .specialize(is_sigmoid(in));
    }
    /// Source by source, in the tile that needs it.
    void schedule_exact(JointGradients<Panels> &exact, const Func &both) {
        exact.sums.compute_at(both, form.tile)
            .bound(form.lane, 0, tiles.vector)
            .bound_extent(form.row, tiles.rows)
            .vectorize(form.lane);
        exact.sums.update().reorder(form.lane, form.row, exact.target).vectorize(form.lane, tiles.vector);
    }
    void schedule_elementwise(const Func &f, const Halide::Expr &rows, const GradientInputs &in) {
        const Var channel = f.args()[0], row = f.args()[1], batch = f.args()[2];
        Func(f)
            .vectorize(channel, tiles.vector, guard)
            .split(row, job, row, pieces_per_job(rows, 16.0f * in.projected, rows_of_a_job, in.batch), guard)
            .parallel(job)
            .parallel(batch);
    }
    static constexpr int rows_of_a_job = 256;
};

}  // namespace aft
