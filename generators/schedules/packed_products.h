#pragma once

#include "../algorithms/linear.h"
#include "../algorithms/prefix_scan.h"
#include "tiles.h"

namespace aft {

/// The products of the hand schedule of the CPU, and their jobs. In a job everything that one register tile hands to
/// the next stays in L2.
class PackedProducts {
public:
    /// short_sequences: too few rows to make jobs of; jobs are groups of channels instead.
    PackedProducts(const Panels &form, const PackedKnobs &knobs, bool short_sequences)
        : form(form), tiles(form.tiles), knobs(knobs), short_sequences(short_sequences) {}

    /// A projection alone: one job per (row block, sample), or per group of channels of a short one.
    void schedule(Linear<Panels> &linear, const Halide::Func &y, const LinearInputs &in) {
        const Halide::Expr tiles_per_block = this->tiles_per_block(in.rows, in.inputs, in.outputs, in.batch);
        if (short_sequences) {
            schedule_left(linear.input.left, in.inputs, tiles_per_block);
            schedule_output(y, linear.product, JobsOf::panels, panels_per_job(in.inputs));
        } else {
            schedule_output(y, linear.product, JobsOf::row_tiles, tiles_per_block);
            schedule_left_at(linear.input.left, in.inputs, y, job);
        }
    }

protected:
    using Func = Halide::Func;
    using Var = Halide::Var;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf;

    // Multiply-adds that a job should have: 5 us of a core, twice what it takes another thread to notice it.
    static constexpr float job_work = 3e5f;
    // Weights that a job of a short sequence reads at least: 256 KiB, some 6 us from a shared cache. Those in int8 are
    // read faster, and multiplied as fast.
    static constexpr int job_weights = 65536, job_weights_int8 = 2 * job_weights;

    // ---- products
    /// The register tile lives in registers for a whole chunk; `tile_loop` is the loop over row tiles.
    void schedule_tile(const Panels::Product &p, const Var &tile_loop) {
        auto tile_of = [&](auto stage) {
            stage.vectorize(form.lane, tiles.vector).unroll(form.lane).unroll(form.row_in_tile);
        };
        auto bound = [&](Func f) { f.bound(form.lane, 0, p.width).bound(form.row_in_tile, 0, tiles.rows); };
        bound(p.sums);
        if (p.ends_early) {  // Halide knows that a chunk may be left out, and no more that it is one
            Func(p.partial).bound_extent(p.partial.args().back(), 1);
        }
        tile_of(Func(p.sums));
        tile_of(Func(p.sums).update());
        for (auto [f, k] : {std::pair(p.first, p.k), std::pair(p.partial, p.partial_k)}) {
            f.compute_at(p.sums, tile_loop).store_in(Halide::MemoryType::Register);
            bound(f);
            tile_of(f);
            const bool in_tiles = tiles.has_matrix_unit && !p.left.rows_first;
            const Halide::RVar part(in_tiles ? MatrixUnit::loop : "part");
            f.update().fuse(k.y, k.z, part);
            if (in_tiles) {  // the loops that MatrixUnit looks for
                f.store_in(Halide::MemoryType::Stack);
                f.update().reorder(k.x, form.lane, form.row_in_tile, part);
                continue;
            }
            if (p.in_pairs) {  // the pattern of the instruction that adds two products
                const Halide::RVar odd("odd_step"), pair("step_pair");
                f.update().split(k.x, pair, odd, 2).reorder(odd, form.lane, form.row_in_tile, pair, part);
                if (tiles.adds_pairs) {
                    f.update().atomic().vectorize(odd);
                } else {
                    f.update().unroll(odd);
                }
                tile_of(f.update());
                f.update().unroll(pair, p.ends_early ? tiles.steps_per_test() / 2 : knobs.unrolled_steps);
                continue;
            }
            f.update().reorder(form.lane, form.row_in_tile, k.x, part);
            tile_of(f.update());
            f.update().unroll(k.x, p.ends_early ? tiles.steps_per_test() : knobs.unrolled_steps);
            if (p.left.widened) {
                widen_left(p, f, tile_loop);
            }
        }
    }
    /// The left values of a tile and a chunk in float32, from which the register kernel broadcasts. Widened block by
    /// block between its steps, they'd cost it the registers of its sums.
    void widen_left(const Panels::Product &p, Func of, const Var &tile_loop) {
        Func left = p.left.func;
        const std::vector<Var> vars = left.args();
        left.in(of)
            .compute_at(p.sums, tile_loop)
            .bound_extent(vars[0], tiles.vector)
            .bound_extent(vars[1], tiles.rows)
            .vectorize(vars[0])
            .unroll(vars[1]);
    }
    /// Loops, outer to inner: panel, chunk, row tile.
    void schedule_product(Panels::Product &p) {
        p.sums.reorder(form.lane, form.row_in_tile, form.tile, form.block, form.batch);
        p.sums.update().reorder(form.lane, form.row_in_tile, form.tile, p.chunk, form.block, form.batch);
        schedule_tile(p, form.tile);
    }
    /// Loops: row block, panel, chunk, row tile.
    void schedule_product_by_row_blocks(Panels::Product &p) {
        Var row_block("row_block");
        p.sums.split(form.tile, row_block, row_tile, tiles.block_rows, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, form.block, row_block, form.batch);
        p.sums.update()
            .split(form.tile, row_block, row_tile, tiles.block_rows, guard)
            .reorder(form.lane, form.row_in_tile, row_tile, p.chunk, form.block, row_block, form.batch);
        schedule_tile(p, row_tile);
    }

    // ---- operands that a call makes
    /// The innermost loops of a left operand, over the steps and the rows of a block.
    Func schedule_steps(Func left) const {
        return left.bound(form.lane, 0, tiles.steps())
            .bound(form.row_in_tile, 0, tiles.rows)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .unroll(form.row_in_tile);
    }
    /// Its blocks that are so many blocks of channels.
    int step_blocks(int channel_blocks) const {
        return std::max(channel_blocks * tiles.vector / tiles.steps(), 1);
    }
    /// The loop over the rows of columns, or over pairs of them.
    Var row_of(const Panels::Columns &columns) const {
        return columns.in_pairs ? form.pair : form.row;
    }
    /// Two rows of a right operand, then the pairs of them, in the innermost loop of those.
    void schedule_pairs(const Panels::Columns &columns, const Var &innermost) const {
        if (columns.in_pairs) {
            schedule_pairs(columns.func, columns.unpaired, tiles.vector, innermost);
        }
    }
    void schedule_pairs(Func pairs, Func unpaired, int lanes, const Var &innermost) const {
        pairs.bound(form.odd, 0, 2).vectorize(form.odd);
        unpaired.compute_at(pairs, innermost)
            .bound(form.lane, 0, lanes)
            .bound_extent(form.row, 2)
            .vectorize(form.lane, tiles.vector)
            .unroll(form.lane)
            .unroll(form.row);
    }
    /// Rows side by side, as they lie in memory. A few steps of one tile after the other, so that whole lines are
    /// written: with a step of all tiles, the lines that are half full would push each other out of the cache.
    void schedule_transposed(const Panels::Left &left) const {
        Func rows = left.func, unpaired = left.unpaired;
        if (!left.rows_first) {  // transposed block by block
            schedule_steps(rows.reorder(form.lane, form.row_in_tile, form.tile, form.block));
            unpaired.compute_at(rows, form.tile)
                .bound(form.row_in_tile, 0, tiles.rows)
                .bound_extent(form.lane, tiles.steps())
                .vectorize(form.row_in_tile)
                .store_in(Halide::MemoryType::Stack);
            return;
        }
        const bool in_pairs = form.kept == Kept::pairs;
        const Var step = in_pairs ? form.pair : form.lane, group("step_group");
        rows.bound(form.row_in_tile, 0, tiles.rows)
            .bound(step, 0, in_pairs ? tiles.vector / 2 : tiles.vector)
            .split(step, group, step, 4)
            .reorder(form.row_in_tile, step, form.tile, group, form.block)
            .vectorize(form.row_in_tile)
            .unroll(step);
        if (in_pairs) {
            rows.bound(form.odd, 0, 2).vectorize(form.odd);
            unpaired.compute_at(rows, step)
                .bound(form.row_in_tile, 0, tiles.rows)
                .bound_extent(form.lane, 2)
                .vectorize(form.row_in_tile)
                .unroll(form.lane);
        }
    }

    void schedule_scan(PrefixScan<Panels> &scan, const Halide::LoopLevel &store, const Halide::LoopLevel &at) {
        for (Func f : {scan.within, scan.over}) {
            f.store_at(store).compute_at(at).bound(form.lane, 0, tiles.vector).vectorize(form.lane);
            f.update().vectorize(form.lane);
        }
        scan.within.update().reorder(form.lane, scan.item);
    }

    // ---- jobs: of a sample, so that a thread stays with what it has of one in its cache; samples side by side
    /// How many of a sample's `count` pieces of work, `work` multiply-adds each, make a job: `most` where there are
    /// jobs enough; fewer where a small batch would leave threads without any, but not so few that the job isn't worth
    /// waking a thread for. No sum is split between jobs, so that the bits don't depend on it.
    Halide::Expr pieces_per_job(const Halide::Expr &count, const Halide::Expr &work, int most,
                                const Halide::Expr &batch) const {
        const Halide::Expr worth_a_thread = Halide::cast<int>(Halide::min(job_work / work, float(most)));
        const Halide::Expr longest = Halide::clamp(Halide::max(count * batch / knobs.jobs, worth_a_thread), 1, most);
        return ceil_div(count, ceil_div(count, longest));
    }
    static Halide::Expr product_of(const Halide::Expr &a, const Halide::Expr &b) {
        return Halide::cast<float>(a) * Halide::cast<float>(b);  // beyond 2^31 for some shapes
    }
    /// Row blocks are the jobs of what goes row by row.
    Halide::Expr tiles_per_block(const Halide::Expr &rows, const Halide::Expr &inputs, const Halide::Expr &outputs,
                                 const Halide::Expr &batch) const {
        const Halide::Expr work = 2.0f * tiles.rows * product_of(inputs, outputs);
        return pieces_per_job(form.row_tiles(rows), work, tiles.block_rows, batch);
    }
    /// Panels of a product of `depth` steps that are a job's work: reading a weight takes longer than the few
    /// multiply-adds that it is for, and less than that isn't worth waking a thread.
    Halide::Expr panels_per_job(const Halide::Expr &depth) const {
        const int weights = form.kept == Kept::int8 ? job_weights_int8 : job_weights;
        return Halide::max(weights / (depth * tiles.width), 1);
    }

    // ---- the stages at both ends
    Func schedule_input(Func input, const Halide::Expr &inputs) const {
        return schedule_steps(input.bound(form.block, 0, form.padded_blocks(inputs))
                                  .reorder(form.lane, form.row_in_tile, form.block, form.tile, form.batch));
    }
    /// A left operand of `inputs` steps in the job that multiplies it.
    void schedule_left_at(const Panels::Left &left, const Halide::Expr &inputs, const Func &y, const Var &job) const {
        schedule_input(left.func, inputs).compute_at(y, job);
        if (left.is_quantised()) {
            schedule_largest(left.quantised).compute_at(y, job);
        }
    }
    /// The same, at once for all jobs, in jobs of its own.
    void schedule_left(const Panels::Left &left, const Halide::Expr &inputs, const Halide::Expr &tiles_per_block) {
        const auto in_jobs = [&](Func f) {
            f.compute_root()
                .split(form.tile, job, form.tile, tiles_per_block, guard)
                .parallel(job)
                .parallel(form.batch);
        };
        in_jobs(schedule_input(left.func, inputs));
        if (left.is_quantised()) {
            in_jobs(schedule_largest(left.quantised));
        }
    }
    /// The largest magnitude of each row: in each lane, then of all lanes.
    Func schedule_largest(const Panels::Quantised &rows) const {
        Func largest = rows.largest, bits = rows.largest_bits, in_lane = rows.largest_in_lane;
        bits.compute_at(largest, form.tile).bound(form.row_in_tile, 0, tiles.rows);
        in_lane.compute_at(largest, form.tile)
            .bound(form.lane, 0, tiles.vector)
            .bound(form.row_in_tile, 0, tiles.rows)
            .vectorize(form.lane);
        in_lane.update().vectorize(form.lane);
        return largest.bound(form.row_in_tile, 0, tiles.rows);
    }
    /// Panels whose sums are made before a tile stores them: 256 bytes of a row, or one panel. So rows are read and
    /// written in long pieces: one line of a cache of each row in turn takes up to 1.3 times as long.
    static int panels_at_once(int width) {
        return std::max(64 / width, 1);
    }
    /// The loops of stored rows, guarded at their right and lower edge: tiles of rows, and panels of `width` lanes. A
    /// job is `pieces` of one of them.
    enum class JobsOf { row_tiles, panels };
    void schedule_stored(Func y, int width, JobsOf jobs, const Halide::Expr &pieces) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        const bool of_rows = jobs == JobsOf::row_tiles;
        y.split(row, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(channel, form.block, form.lane, width, guard);
        if (of_rows) {
            y.split(form.tile, job, row_tile, pieces, guard)
                .split(form.block, panels, form.block, panels_at_once(width), guard)
                .reorder(form.lane, form.row_in_tile, form.block, row_tile, panels, job, batch);
        } else {
            y.split(form.block, job, form.block, pieces, guard)
                .reorder(form.lane, form.row_in_tile, form.tile, form.block, job, batch);
        }
        y.vectorize(form.lane, tiles.vector).unroll(form.lane).unroll(form.row_in_tile).parallel(job).parallel(batch);
    }
    void schedule_output(Func y, Panels::Product &output, JobsOf jobs, const Halide::Expr &pieces) {
        schedule_stored(y, tiles.width, jobs, pieces);
        schedule_product(output);
        output.sums.compute_at(y, jobs == JobsOf::row_tiles ? panels : form.block);
    }

    const Panels &form;
    const Tiles &tiles;
    const PackedKnobs knobs;
    const bool short_sequences;
    Var job{"job"}, panels{"panels"}, row_tile{"row_tile"};  // loops of stored rows
};

}  // namespace aft
