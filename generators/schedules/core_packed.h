#pragma once

#include "../algorithms/means/certified.h"
#include "packed_products.h"

namespace aft {

/// The hand schedule of the weighted mean of sources on the CPU. One job makes a row block of a sample: the weights of
/// its targets for every source, then group by group of channels the sums and the gated quotients.
class CorePacked : PackedProducts {
public:
    CorePacked(const Panels &form, const PackedKnobs &knobs) : PackedProducts(form, knobs) {}

    void schedule(Core<Panels, Certified> &core, Func y, const CoreInputs &in) {
        Certified<Panels> &mean = core.mean;
        schedule_sources(mean, in);

        Func gated = core.gated.func;
        schedule_rows(y, in);
        gated.compute_at(y, job)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .split(form.block, group, form.block, knobs.target_group, guard)
            .reorder(form.lane, form.row_in_tile, form.tile, form.block, group, form.batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile);
        schedule_product(mean.sums);
        mean.sums.sums.compute_at(gated, group);

        mean.weights.func.compute_at(y, job)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .reorder(form.lane, form.row_in_tile, form.block, form.tile)
            .vectorize(form.lane)
            .unroll(form.row_in_tile);
        // A maximum per lane, then that of the lanes.
        Halide::RVar vectors("vectors"), lanes("lanes");
        Var of_lane("of_lane");
        mean.bias_maximum.update().split(mean.any, vectors, lanes, tiles.vector, guard);
        Func lane_maximum = mean.bias_maximum.update().rfactor(lanes, of_lane);
        const Var target = mean.bias_maximum.args()[0];
        mean.bias_maximum.compute_at(y, job);
        lane_maximum.compute_at(mean.bias_maximum, target).vectorize(of_lane, tiles.vector);
        lane_maximum.update().reorder(of_lane, vectors).vectorize(of_lane, tiles.vector);
        mean.bias_maximum.update().atomic().vectorize(lanes);

        mean.doubtful.compute_at(gated, form.block);
        mean.doubtful.update().reorder(mean.of_tile.x, mean.of_tile.y, form.tile).atomic().vectorize(mean.of_tile.x).unroll(mean.of_tile.y);
        schedule_exact(mean.exact, gated, form.tile);
    }

private:
    /// One job per group of channel blocks and sample.
    void schedule_sources(Certified<Panels> &mean, const CoreInputs &in) {
        mean.columns.func.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .vectorize(form.lane)
            .reorder(form.lane, form.row, form.block, form.batch)
            .parallel(form.block)
            .parallel(form.batch);
        const Var chunk = mean.key_maximum.args().back();
        for (Func f : {mean.key_maximum, mean.maximum_so_far}) {
            f.compute_root()
                .bound(form.lane, 0, tiles.vector)
                .vectorize(form.lane)
                .reorder(form.lane, chunk, form.block, form.batch)
                .parallel(form.block)
                .parallel(form.batch);
        }
        mean.key_maximum.update()
            .vectorize(form.lane)
            .reorder(form.lane, mean.row, chunk, form.block, form.batch)
            .parallel(form.block)
            .parallel(form.batch);
        mean.maximum_so_far.update().vectorize(form.lane);
        (void)in;
    }
    void schedule_rows(Func y, const CoreInputs &in) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        const Halide::Expr row_tiles = form.row_tiles(in.targets);
        y.split(row, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(form.tile, job, row_tile, tiles.block_rows, guard)
            .split(channel, form.block, form.lane, tiles.vector, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, form.block, job, batch)
            .vectorize(form.lane)
            .unroll(form.row_in_tile)
            .parallel(job)
            .parallel(batch);
    }
    /// Computed only where it is needed: the condition is the consumer's.
    void schedule_exact(Joint<Panels> &exact, Func consumer, const Var &at) {
        exact.mean.compute_at(consumer, at).bound(form.lane, 0, tiles.vector).bound_extent(form.row, tiles.rows).vectorize(form.lane);
        JointSums<Panels> &joint = exact.joint;
        joint.sums.compute_at(exact.mean, form.row).vectorize(form.lane);
        joint.sums.update().reorder(form.lane, form.row, joint.chunk).vectorize(form.lane, tiles.vector);
        joint.scores.compute_at(joint.sums, joint.chunk)
            .bound_storage(joint.scores.args().back(), joint.longest_chunk)
            .reorder(form.lane, form.row, joint.scores.args().back())
            .vectorize(form.lane, tiles.vector);
        for (Func f : {joint.chunk_maximum, joint.chunk_sums}) {
            f.compute_at(joint.sums, joint.chunk).vectorize(form.lane, tiles.vector);
            f.update().reorder(form.lane, form.row, joint.source).vectorize(form.lane, tiles.vector);
        }
    }

    Var group{"group"}, job{"job"}, row_tile{"row_tile"};
};

}  // namespace aft
