#pragma once

#include "norm.h"

namespace networks {

/// The schedule of norms: each reads what has one mean while it is in the nearest cache. Sums are of vectors.
class NormSchedule {
public:
    /// y: the output, (channel, row, batch), of so many channels.
    NormSchedule(const Halide::Func &y, const Halide::Expr &channels, const Halide::Target &target)
        : y(y), channel(y.args()[0]), row(y.args()[1]), batch(y.args()[2]), channels(channels),
          vector(target.natural_vector_size<float>()) {}

    void schedule(Norm &norm, bool keeps_total) {
        if (norm.over == Over::rows) {
            schedule_by_channels(norm);
            return;
        }
        schedule_by_rows();
        if (keeps_total) {
            norm.total.store_at(y, job).compute_at(y, row).vectorize(channel, vector, guard);
        }
        sum_of_row(norm.sum, norm.among);
        sum_of_row(norm.squares, norm.among);
        norm.mean.compute_at(y, row);
        norm.scale.compute_at(y, row);
    }
    void schedule(Unit &unit) {
        schedule_by_rows();
        sum_of_row(unit.squares, unit.among);
        unit.length.compute_at(y, row);
    }

private:
    using Func = Halide::Func;
    using Var = Halide::Var;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf;
    static constexpr int job_elements = 16384;  // some 3 us of a core, which waking another one takes, too

    void schedule_by_rows() {
        y.vectorize(channel, vector, guard)
            .split(row, job, row, Halide::max(job_elements / channels, 1), guard)
            .parallel(job)
            .parallel(batch);
    }
    void sum_of_row(Func sum, const Halide::RDom &among) {
        const Halide::RVar outer("outer"), inner("inner");
        const Var lane("lane");
        Func lanes = sum.update().split(among.x, outer, inner, vector, guard).rfactor(inner, lane);
        lanes.compute_at(y, row).vectorize(lane).update().vectorize(lane);
        sum.compute_at(y, row).update().atomic().vectorize(inner);
    }
    /// Four vectors of channels at a time, whose sums don't wait for each other.
    void schedule_by_channels(Norm &norm) {
        const Var block("block");
        y.split(channel, block, channel, 4 * vector, guard)
            .reorder(channel, row, block, batch)
            .vectorize(channel, vector, guard)
            .parallel(block)
            .parallel(batch);
        for (Func f : {norm.sum, norm.squares}) {
            f.compute_at(y, block).vectorize(channel, vector, guard);
            f.update().reorder(channel, norm.among).vectorize(channel, vector, guard).unroll(channel);
        }
        norm.mean.compute_at(y, block).vectorize(channel, vector, guard);
        norm.scale.compute_at(y, block).vectorize(channel, vector, guard);
    }

    Func y;
    Var channel, row, batch, job{"job"};
    Halide::Expr channels;
    int vector;
};

}  // namespace networks
