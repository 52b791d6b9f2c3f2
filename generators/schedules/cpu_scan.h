#pragma once

#include "../algorithms/certified_scan.h"
#include "tiles.h"

namespace aft {

/// The hand schedule of scans on the CPU. The sums of chunks and what they carry over have one job per (group of
/// channels, sample); the means have one per (group of channels, chunk of positions, sample), and keep what they have
/// of a vector of channels in the nearest cache.
class CpuScan {
    using Func = Halide::Func;

public:
    CpuScan(const ScanInputs &in, int vector, int rows) : in(in), vector(vector), rows(rows) {}

    template<typename Exact>
    void schedule(CertifiedScan<Exact> &scan, Func y, Func next_state) {
        schedule_totals(scan);
        schedule_means(scan, y);
        whole_vectors(scan.exact_mean.compute_at(y, tile)).bound_storage(scan.exact_mean.args()[1], scan.tile_rows);
        whole_vectors(scan.exact.sums.local.compute_at(scan.exact_mean, scan.exact_mean.args()[2]),
                      scan.exact.sums.step);
        schedule_exact(scan.exact, scan.exact_mean, scan.exact_mean.args()[1]);
        next_state.vectorize(next_state.args()[0], vector, guard).unroll(next_state.args()[1]);
        next_state.bound(next_state.args()[1], 0, RunningSums::values);
    }

private:
    using Expr = Halide::Expr;
    using Stage = Halide::Stage;
    using Var = Halide::Var;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf, round_up = Halide::TailStrategy::RoundUp;

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
    /// A stage within the loop over vectors of channels, whose last update goes over `steps`.
    Func &whole_vectors(Func &f) {
        f.bound_extent(f.args()[0], vector).vectorize(f.args()[0]);
        for (int i = 0; i < f.num_update_definitions(); ++i) {
            f.update(i).vectorize(f.args()[0]);
        }
        return f;
    }
    void whole_vectors(Func &f, const Halide::RDom &steps) {
        whole_vectors(f).update(f.num_update_definitions() - 1).reorder(f.args()[0], steps);
    }
    /// Row by row, for all channels of a job.
    void schedule_in_rows(Func &f, const Halide::RDom &rows) {
        const Var channel = f.args()[0];
        f.vectorize(channel, vector, round_up);
        f.update().split(channel, vectors, lane, vector).reorder(lane, vectors, rows).vectorize(lane);
    }
    /// Whether any of the values is doubtful.
    void schedule_doubt(Func &f, const Halide::RVar &lane) {
        f.bound_extent(f.args()[0], 1).update().atomic().vectorize(lane);
    }
    /// Loops: sample, job, vector of channels, lane.
    template<typename T>
    T &by_jobs(T &stage, const Var &channel, const Var &batch, Halide::TailStrategy tail, const Expr &time,
               const Expr &others) {
        return stage.split(channel, vectors, lane, vector, tail)
            .split(vectors, job, vectors, vectors_per_job(time, others), guard)
            .vectorize(lane)
            .parallel(job)
            .parallel(batch);
    }
    /// The totals of a chunk are made row by row, as keys and values lie in memory.
    template<typename Exact>
    void schedule_totals(CertifiedScan<Exact> &scan) {
        Func total = scan.total;
        const Var number = total.args()[1], of_chunk = total.args()[2], batch = total.args()[3];
        const Expr chunks = ceil_div(in.seq, ScanSums::chunk_rows);
        whole_vectors(total.compute_root())
            .split(number, job, number, vectors_per_job(cost_of_source * rows_of_chunk(), in.batch * chunks), guard)
            .parallel(job)
            .parallel(of_chunk)
            .parallel(batch);
        for (Func f : {scan.total_key, scan.total_sums}) {
            schedule_in_rows(f.compute_at(total, job), scan.of_chunk);
        }
        if (scan.factor.defined()) {
            scan.factor.compute_root().vectorize(scan.factor.args()[0], vector, round_up);
            scan.is_total_doubtful.compute_at(total, job).update().atomic().vectorize(scan.lane);
            whole_vectors(scan.exact_total.compute_at(total, number));
            Func local = scan.exact.sums.local.clone_in(scan.exact_total);
            whole_vectors(local.compute_at(scan.exact_total, scan.exact_total.args()[2]), scan.exact.sums.step);
        }

        ScanSums &sums = scan.exact.sums;
        Func carried = sums.carried;
        const Var channel = carried.args()[0];
        carried.compute_root();
        Stage begin = carried.update(0), chain = carried.update(1);
        begin.vectorize(channel, vector, round_up);
        chain.split(channel, vectors, lane, vector, round_up).reorder(lane, vectors, sums.later_chunk).vectorize(lane);
    }
    Expr rows_of_chunk() const {
        return Halide::min(Halide::cast<float>(in.seq), float(ScanSums::chunk_rows));
    }
    template<typename Exact>
    void schedule_means(CertifiedScan<Exact> &scan, Func y) {
        const Expr chunks = ceil_div(in.seq, ScanSums::chunk_rows);
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        y.split(row, chunk, row, ScanSums::chunk_rows, guard).split(row, tile, row, scan.tile_rows, guard);
        by_jobs(y, channel, batch, guard, cost_of_source * Halide::cast<float>(in.window) * rows_of_chunk(),
                in.batch * chunks)
            .reorder(lane, row, tile, vectors, job, chunk, batch)
            .parallel(chunk);

        whole_vectors(scan.gated.compute_at(y, tile))
            .bound_storage(scan.gated.args()[1], scan.tile_rows)
            .bound_extent(scan.gated.args()[2], 1)
            .bound_extent(scan.gated.args()[3], 1)
            .specialize(in.gate == 0);  // sigmoid, the usual one: without the operations of the others
        schedule_in_rows(scan.largest_key.compute_at(y, job), scan.of_window);
        // By constant bounds, a job's values are in the stack, but for those whose count depends on the window: asking
        // for memory took a tenth of a short call. Sums begin and end with a tile of rows, which may lie in two chunks.
        const int chunks_of_sums = ScanSums::chunk_rows % rows == 0 ? 1 : 3;
        const int rows_of_sums = chunks_of_sums * ScanSums::chunk_rows;
        whole_vectors(scan.reference.compute_at(y, vectors)).bound_storage(scan.reference.args()[1], chunks_of_sums);
        whole_vectors(scan.columns.compute_at(y, vectors))
            .bound_storage(scan.columns.args()[1], rows_of_sums + scan.runs * scan.run_length)
            .bound_storage(scan.columns.args()[2], chunks_of_sums);
        whole_vectors(scan.older.compute_at(y, vectors), scan.later);
        scan.older.bound_storage(scan.older.args()[2], chunks_of_sums);
        schedule_doubt(scan.is_doubtful.compute_at(y, vectors), scan.of_tile.x);
        if (scan.bias.is_per_channel) {
            for (Func f : {scan.bias_maximum, scan.weights}) {
                whole_vectors(f.compute_root());
            }
            scan.bias_maximum.update().reorder(scan.bias_maximum.args()[0], scan.distance);
        } else {
            scan.weights.compute_at(y, chunk).vectorize(scan.weights.args()[0], vector, guard);
            scan.bias_maximum.compute_at(y, chunk).update().atomic().vectorize(scan.distance, vector, guard);
        }

        Halide::Var tile_of_sums("tile_of_sums");
        const Var of_sums = scan.sums.args()[1], of_run = scan.run_sums.args()[1];
        whole_vectors(scan.sums.compute_at(y, vectors))
            .align_bounds(of_sums, rows)
            .bound_storage(of_sums, rows_of_sums);
        scan.sums.update()
            .split(of_sums, tile_of_sums, of_sums, rows)
            .reorder(scan.sums.args()[0], of_sums, scan.run, tile_of_sums)
            .unroll(of_sums);
        whole_vectors(scan.run_sums.compute_at(scan.sums, scan.run)).bound_extent(of_run, rows).unroll(of_run);
        Halide::RVar steps("steps"), of_steps("of_steps");
        scan.run_sums.update()
            .split(scan.in_run, steps, of_steps, scan.steps_at_once)
            .reorder(scan.run_sums.args()[0], of_run, of_steps, steps)
            .unroll(of_run)
            .unroll(of_steps);
    }
    void schedule_exact(Recurrent &, Halide::Func, const Var &) {}
    void schedule_exact(Windowed &exact, Func mean, const Var &row) {
        whole_vectors(exact.window_sums.compute_at(mean, row), exact.chunk);
        whole_vectors(exact.maximum.compute_at(mean, row), exact.distance);
        whole_vectors(exact.chunk_sums.compute_at(exact.window_sums, exact.chunk), exact.in_chunk);
    }

    const ScanInputs &in;
    const int vector, rows;
    Var lane{"lane"}, vectors{"vectors"}, job{"job"}, chunk{"chunk"}, tile{"tile"};
};

}  // namespace aft
