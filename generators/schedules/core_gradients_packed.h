#pragma once

#include "../algorithms/gradients/certified.h"
#include "../algorithms/gradients/pooled.h"
#include "core_packed.h"

namespace aft {

/// The hand schedule of the gradients of a mean on the CPU.
class CoreGradientsPacked : CorePacked {
public:
    using CorePacked::CorePacked;

    /// A sample begins with what the products need of its targets. One job makes a row block of sources: the weights
    /// that all targets give them, then the gradients of one block of channels after the other.
    void schedule(CertifiedGradients<Panels> &gradients, const Func &dq, const Func &d, const GradientInputs &in) {
        schedule_stored(d, tiles.vector, JobsOf::row_tiles,
                        tiles_per_block(in.sources, in.targets, in.projected, in.batch));
        gradients.both.func.compute_at(d, row_tile)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .bound_extent(form.tile, 1)
            .bound_extent(form.block, 1)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .store_in(Halide::MemoryType::Stack);
        schedule_product(gradients.sums);
        gradients.sums.sums.compute_at(d, form.block);
        // Sources side by side, as the position bias lies in memory.
        gradients.weights.func.compute_at(d, job)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .reorder_storage(form.row_in_tile, form.lane, form.block, form.tile, form.batch)
            .reorder(form.row_in_tile, form.tile, form.lane, form.block)
            .vectorize(form.row_in_tile);
        schedule_targets(gradients, d);
        schedule_exact(gradients.exact, gradients.both.func);
        schedule_elementwise(dq, in.targets, in);
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
            .reorder(form.lane, gradients.row.x, gradients.row.y, form.block, chunk, form.batch)
            .vectorize(form.lane)
            .parallel(chunk)
            .parallel(form.batch);
        gradients.sum.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .update()
            .vectorize(form.lane);
        schedule_elementwise(dq, in.targets, in);
        schedule_elementwise(d, in.sources, in);
    }
    void schedule(JointGradients<Panels> &, const Func &, const Func &, const GradientInputs &) {
        _halide_user_error << "packed doesn't schedule this algorithm\n";
    }

private:
    /// The stages before the products. A job makes a few blocks of channels of a sample.
    void schedule_targets(CertifiedGradients<Panels> &gradients, const Func &d) {
        CertifiedFactors<Panels> &factors = gradients.factors;
        const Var chunk = factors.maximum_so_far.args().back(), batch = d.args().back(), group("group");
        const auto by_groups = [&](auto stage, auto... inner) {
            stage.split(form.block, group, form.block, 4, guard)
                .reorder(form.lane, form.block, inner..., group, form.batch)
                .vectorize(form.lane)
                .parallel(group);
        };
        const auto place = [&](Func f) { f.compute_at(d, batch).bound(form.lane, 0, tiles.vector); };
        place(factors.maximum_so_far);
        by_groups(factors.maximum_so_far, chunk);
        factors.maximum_so_far.update().vectorize(form.lane);
        place(factors.sources.key_maximum);
        by_groups(factors.sources.key_maximum, chunk);
        by_groups(factors.sources.key_maximum.update(), factors.sources.row, chunk);
        place(gradients.value_range);
        gradients.value_range.vectorize(form.lane);
        by_groups(gradients.value_range.update(), gradients.of_values);
        place(gradients.scaled);
        by_groups(gradients.scaled, form.row);
        place(gradients.columns.func);
        by_groups(gradients.columns.func, form.row);
        gradients.doubtful.compute_at(d, batch)
            .update()
            .reorder(gradients.any.x, gradients.any.y, form.block)
            .atomic()
            .vectorize(gradients.any.x);
        schedule_bias_maximum(factors, Halide::LoopLevel(d, batch));
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
