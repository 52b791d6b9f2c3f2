#pragma once

#include "../algorithms/recurrent.h"
#include "../algorithms/windowed.h"
#include "tiles.h"

namespace aft {

/// The hand schedule of scans on the CPU. The chain of sums has one job per (group of channels, sample); the means have
/// one per (group of channels, chunk of positions, sample), in which the sums of a chunk stay in the nearest cache.
class CpuScan {
public:
    CpuScan(const ScanInputs &in, int vector) : in(in), vector(vector) {}

    void schedule(Recurrent &scan, const Halide::Func &y, const Halide::Func &next_state) {
        schedule_sums(scan.sums, y, next_state, cost_of_source);
    }
    void schedule(Windowed &scan, const Halide::Func &y, const Halide::Func &next_state) {
        schedule_sums(scan.sums, y, next_state, cost_of_source * Halide::cast<float>(in.window));
        const Var row = y.args()[1];
        scan.window_sums.compute_at(y, row).vectorize(scan.window_sums.args()[0], vector, guard);
        scan.window_sums.update().vectorize(scan.window_sums.args()[0], vector, guard);
        scan.maximum.compute_at(y, row).vectorize(scan.maximum.args()[0], vector, guard);
        scan.maximum.update().vectorize(scan.maximum.args()[0], vector, guard);
        scan.chunk_sums.compute_at(scan.window_sums, scan.chunk).vectorize(scan.chunk_sums.args()[0], vector, guard);
        scan.chunk_sums.update().vectorize(scan.chunk_sums.args()[0], vector, guard);
    }

private:
    using Func = Halide::Func;
    using Expr = Halide::Expr;
    using Stage = Halide::Stage;
    using Var = Halide::Var;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf;

    // In nanoseconds: what a job should take, twice the time in which another thread notices it; and what a source
    // takes in one target and one vector of channels.
    static constexpr float job_time = 5000, cost_of_source = 15;
    // Jobs that a call should have, so that 2 to 8 threads have equal shares.
    static constexpr int jobs = 16;

    /// Vectors of channels of a job, each of which costs `time`, where the samples and chunks are `others`.
    Expr vectors_per_job(const Expr &time, const Expr &others) const {
        const Expr vectors = ceil_div(in.channels, vector);
        const Expr worth_a_thread = Halide::cast<int>(Halide::clamp(job_time / time, 1.0f, 1e6f));
        const Expr longest = Halide::max(Halide::max(vectors * others / jobs, worth_a_thread), 1);
        return ceil_div(vectors, ceil_div(vectors, longest));
    }
    /// Loops: sample, job, vector of channels, the rest of `inner`, lane.
    template<typename T>
    T &by_jobs(T &stage, const Var &channel, const Var &batch, const Expr &time, const Expr &others) {
        return stage.split(channel, vectors, lane, vector, guard)
            .split(vectors, job, vectors, vectors_per_job(time, others), guard)
            .vectorize(lane)
            .parallel(job)
            .parallel(batch);
    }
    void schedule_sums(ScanSums &sums, Func y, Func next_state, const Expr &cost) {
        const Expr n = Halide::cast<float>(in.seq);
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];

        Func carried = sums.carried;
        carried.compute_root();
        const Var c = carried.args()[0], b = carried.args()[2];
        Stage begin = carried.update(0), chain = carried.update(1);
        begin.vectorize(c, vector, guard);
        by_jobs(chain, c, b, cost_of_source * n, in.batch).reorder(lane, sums.position, vectors, job, b);

        const Expr chunk_rows = Halide::min(n, float(ScanSums::chunk_rows));
        const Expr chunks = ceil_div(in.seq, ScanSums::chunk_rows);
        y.split(row, chunk, row, ScanSums::chunk_rows, guard);
        by_jobs(y, channel, batch, cost * chunk_rows, in.batch * chunks)
            .reorder(lane, row, vectors, job, chunk, batch)
            .parallel(chunk);

        Func within = sums.within;
        within.compute_at(y, vectors).bound_storage(within.args()[1], ScanSums::chunk_rows);
        within.update(0).vectorize(within.args()[0], vector, guard);
        within.update(1).reorder(within.args()[0], sums.step).vectorize(within.args()[0], vector, guard);

        next_state.vectorize(next_state.args()[0], vector, guard).unroll(next_state.args()[1]);
        next_state.bound(next_state.args()[1], 0, RunningSums::values);
    }

    const ScanInputs &in;
    const int vector;
    Var lane{"lane"}, vectors{"vectors"}, job{"job"}, chunk{"chunk"};
};

}  // namespace aft
