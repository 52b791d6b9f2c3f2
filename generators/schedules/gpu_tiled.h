#pragma once

#include "../algorithms/linear.h"
#include "../algorithms/means/means.h"

namespace aft {

/// The hand schedule of GPUs: one family for CUDA, OpenCL and Vulkan, with their own tiles. In a kernel with products a
/// block of threads makes one tile, tiles.rows x tiles.vector channels, and each of its threads 4 channels of some of
/// the rows: its sums stay in registers from the first step to the last, and the epilogue takes them from there.
///
/// Operands come straight from the panels, four floats at a time. The threads of a row of the block read the same left
/// values, neighbours in it neighbouring right values, and what one warp has read the others find in the first-level
/// cache. Staged in shared memory they would cost two barriers every few steps, and Halide can't do it: it keeps sums
/// in registers around a loop of a whole block only along the lanes of one warp. Shared memory serves where data
/// changes its order: for the transposed input, sums over the rows of a tile, and the edges of the output.
class GpuTiled {
public:
    GpuTiled(const Panels &form, int unrolled_steps)
        : form(form), tiles(form.tiles), threads_x(tiles.vector / load), unrolled_steps(unrolled_steps) {
        _halide_user_assert(tiles.depth == 0) << "tiled doesn't cut reductions: depth is " << tiles.depth;
    }

    template<template<typename> class Mean>
    void schedule(Layer<Panels, Mean> &layer, const Halide::Func &y) {
        schedule_input(layer.input);
        schedule_mean(layer.mean, layer.key_value.product);
        schedule_gated(layer);
        schedule_output(y, layer.output);
    }
    void schedule(Linear<Panels> &linear, const Halide::Func &y) {
        schedule_input(linear.input);
        schedule_output(y, linear.product);
    }

protected:
    using Func = Halide::Func;
    using Stage = Halide::Stage;
    using Var = Halide::Var;
    using LoopLevel = Halide::LoopLevel;
    static constexpr auto guard = Halide::TailStrategy::GuardWithIf;
    static constexpr auto shared = Halide::MemoryType::GPUShared;

    // Floats per load and channels per thread: 16 bytes, the widest there is.
    static constexpr int load = 4;
    // Threads along the rows. With two right operands a thread has a square of sums, (4 + 4) x rows / 8; a product with
    // one gets as many with half of the threads.
    static constexpr int threads_y = 8, threads_y_of_one = 4;

    // ---- products
    template<typename T>
    static T &unrolled(T &stage, const Var &vectors, const Var &others) {
        return stage.vectorize(vectors, load).unroll(vectors).unroll(others);
    }
    /// The sums of one thread, in the loop `thread`.
    void schedule_sums(Panels::Product &p, const LoopLevel &thread, int threads, int steps) {
        p.first.compute_at(thread).bound_extent(form.lane, load).bound_extent(form.row_in_tile, tiles.rows / threads);
        unrolled(p.first, form.lane, form.row_in_tile);
        Stage update = p.first.update();
        update.reorder(form.lane, form.row_in_tile, p.k.x, p.k.y, p.k.z).unroll(p.k.x, steps);
        unrolled(update, form.lane, form.row_in_tile);

        // Rows are innermost in memory, whichever place they have among the dimensions.
        Func of_left = p.left.func, left = of_left.in(p.first);
        const int rows = p.left.rows_first ? 0 : 1, steps_of_block = 1 - rows;
        unrolled(left.compute_at(p.first, p.k.x), left.args()[rows], left.args()[steps_of_block]);
        for (Func of_right : p.rights) {
            Func right = of_right.in(p.first);
            unrolled(right.compute_at(p.first, p.k.x), right.args()[0], right.args()[1]);
        }
    }
    /// A tile of f by the threads of a block.
    template<typename T>
    T &by_threads(T &f, int threads) {
        return f.split(form.lane, tx, form.lane, load)
            .split(form.row_in_tile, ty, form.row_in_tile, tiles.rows / threads)
            .reorder(form.lane, form.row_in_tile, tx, ty)
            .gpu_threads(tx, ty);
    }
    Func &whole_tiles(Func &f) {
        return f.bound(form.lane, 0, tiles.vector).bound(form.row_in_tile, 0, tiles.rows);
    }
    /// A stored product: its own kernel, or part of one that reads the tile again.
    void schedule_stored(Panels::Product &p, int threads) {
        whole_tiles(p.sums);
        unrolled(by_threads(p.sums, threads), form.lane, form.row_in_tile);
        schedule_sums(p, LoopLevel(p.sums, tx), threads, unrolled_steps);
    }
    void schedule_key_value(Panels::Product &key_value) {
        key_value.sums.compute_root();
        schedule_stored(key_value, threads_y);
        key_value.sums.reorder(form.lane, form.row_in_tile, tx, ty, form.block, form.tile, form.batch)
            .gpu_blocks(form.block, form.tile, form.batch);
    }

    /// The gated mean, with its rows innermost, as the output product reads it.
    template<template<typename> class Mean>
    void schedule_gated(Layer<Panels, Mean> &layer) {
        Panels::Product *sums = layer.mean.target_sums();
        const int threads = sums ? threads_y : threads_y_of_one;
        Func gated = layer.gated.func;
        whole_tiles(gated).compute_root().reorder_storage(form.row_in_tile, form.lane, form.block, form.tile,
                                                          form.batch);
        unrolled(by_threads(gated, threads), form.row_in_tile, form.lane);
        gated.reorder(form.row_in_tile, form.lane, tx, ty, form.block, form.tile, form.batch)
            .gpu_blocks(form.block, form.tile, form.batch);
        const LoopLevel thread(gated, tx);
        schedule_target_sums(layer.mean, layer.query, thread);
        schedule_sums(layer.query, thread, threads, unrolled_steps);
    }
    void schedule_target_sums(Dense<Panels> &mean, const Panels::Product &query, const LoopLevel &thread) {
        schedule_quotient(mean.value.func, mean.sums, query, thread, unrolled_steps);
    }
    /// The epilogue has more operands than AFTFull's, and the window few steps: half of them at a time.
    void schedule_target_sums(Banded<Panels> &mean, const Panels::Product &query, const LoopLevel &thread) {
        schedule_quotient(mean.value.func, mean.sums, query, thread, unrolled_steps / 2);
    }
    /// Other means are computed before.
    template<typename Mean>
    void schedule_target_sums(Mean &, const Panels::Product &, const LoopLevel &) {}

    /// A quotient takes half of the registers of its sums. So it comes before the query: Halide orders stages that
    /// don't depend on each other by their names.
    void schedule_quotient(Func quotient, Panels::Product &sums, const Panels::Product &query, const LoopLevel &thread,
                           int steps) {
        _halide_user_assert(quotient.name() < query.first.name())
            << quotient.name() << " must come before " << query.first.name() << ", or registers are spilled\n";
        unrolled(quotient.compute_at(thread), form.lane, form.row_in_tile);
        schedule_sums(sums, thread, threads_y, steps);
    }
    /// A tile goes to y by way of shared memory, where its edges need no care and whole rows are stored at a time.
    void schedule_output(Func y, Panels::Product &output) {
        const Var channel = y.args()[0], row = y.args()[1], batch = y.args()[2];
        y.split(row, form.tile, form.row_in_tile, tiles.rows, guard)
            .split(channel, form.block, form.lane, tiles.width, guard)
            .split(form.row_in_tile, form.row_in_tile, ty, threads_y_of_one)
            .split(form.lane, form.lane, tx, threads_x)
            .reorder(form.lane, form.row_in_tile, tx, ty, form.block, form.tile, batch)
            .gpu_blocks(form.block, form.tile, batch)
            .gpu_threads(tx, ty);
        output.sums.compute_at(y, form.block)
            .store_in(shared)
            .bound_extent(form.tile, 1)
            .bound_extent(form.block, 1)
            .bound_extent(form.batch, 1);
        schedule_stored(output, threads_y_of_one);
    }

    // ---- what surrounds them
    /// Read along the channels, written along the rows. In shared memory a row is one float longer than its channels,
    /// so that neither way stays within one bank.
    void schedule_input(Panels::Input &x) {
        Func input = x.panels, padded = x.padded;
        whole_tiles(input)
            .compute_root()
            .reorder_storage(form.row_in_tile, form.lane, form.block, form.tile, form.batch)
            .split(form.row_in_tile, form.row_in_tile, tx, threads_x)
            .split(form.lane, form.lane, ty, threads_y)
            .reorder(form.row_in_tile, form.lane, tx, ty, form.block, form.tile, form.batch)
            .gpu_blocks(form.block, form.tile, form.batch)
            .gpu_threads(tx, ty);
        const Var channel = padded.args()[0], row = padded.args()[1];
        padded.compute_at(input, form.block)
            .store_in(shared)
            .bound_extent(channel, tiles.vector)
            .bound_extent(row, tiles.rows)
            .align_storage(channel, tiles.vector + 1)
            .split(channel, channel, tx, threads_x)
            .split(row, row, ty, threads_y)
            .reorder(channel, row, tx, ty)
            .gpu_threads(tx, ty);
    }
    /// One thread per lane and element of `along`.
    void per_source(Func f, const Var &along, int threads = threads_y) {
        Var inner("inner");
        f.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .split(along, along, inner, threads, guard)
            .reorder(form.lane, inner, along, form.block, form.batch)
            .gpu_threads(form.lane, inner)
            .gpu_blocks(along, form.block, form.batch);
    }
    /// One thread per lane.
    template<typename T>
    void per_channel(T &&stage) {
        stage.gpu_blocks(form.block, form.batch).gpu_threads(form.lane);
    }
    void schedule_sources(Sources<Panels> &sources) {
        Func maximum = sources.key_maximum;
        Halide::RVar tile("tile"), row("row");
        Var of_tile("of_tile");
        maximum.update().split(sources.key_row, tile, row, tiles.rows, guard);
        Func tile_maximum = maximum.update().rfactor(tile, of_tile);
        tile_maximum.compute_root().bound(form.lane, 0, tiles.vector);
        const auto one_thread_per_lane = [&](Stage stage) {
            stage.reorder(form.lane, of_tile, form.block, form.batch)
                .gpu_blocks(of_tile, form.block, form.batch)
                .gpu_threads(form.lane);
        };
        one_thread_per_lane(tile_maximum);
        one_thread_per_lane(tile_maximum.update());
        maximum.compute_root().bound(form.lane, 0, tiles.vector);
        per_channel(maximum);
        per_channel(maximum.update());
        per_source(sources.columns.func, form.row);
    }
    void schedule_scan(PrefixScan<Panels> &scan) {
        per_source(scan.items, scan.items.args()[1], 1);  // each reads a tile of rows, which takes many registers
        for (Func f : {scan.within, scan.over}) {
            f.compute_root().bound(form.lane, 0, tiles.vector);
            per_channel(f);
            per_channel(f.update());
        }
    }
    /// The keys and values of a tile stay in shared memory, for its sums over the rows; one thread per lane.
    void schedule_mean(Softmax<Panels> &s, Panels::Product &key_value) {
        const Var chunk = s.chunk_state.args().back();
        s.chunk_state.compute_root()
            .bound(form.lane, 0, tiles.vector)
            .split(form.lane, ty, tx, threads_x)
            .reorder(tx, ty, form.block, chunk, form.batch)
            .gpu_blocks(form.block, chunk, form.batch)
            .gpu_threads(tx, ty);
        key_value.sums.compute_at(s.chunk_state, form.block).store_in(shared);
        schedule_stored(key_value, threads_y);
        for (Func f : {s.chunk_maximum, s.chunk_sums}) {
            f.compute_at(s.chunk_state, tx);
        }
        schedule_merged(s);
    }
    void schedule_merged(SoftmaxSums<Panels> &s) {
        s.mean.compute_root().bound(form.lane, 0, tiles.vector);
        per_channel(s.mean);
        for (Func f : {s.maximum, s.sums}) {
            f.compute_at(s.mean, form.lane);
        }
    }
    void schedule_mean(Exact<Panels> &exact, Panels::Product &key_value) {
        schedule_key_value(key_value);
        per_source(exact.rows.func, form.row);
        per_source(exact.mean, form.row);
        schedule_joint(exact.joint, exact.mean);
        if (exact.rows_from_first) {
            schedule_scan(*exact.rows_from_first);
            schedule_scan(*exact.rows_from_last);
        }
    }
    /// The sums of one thread of `mean`.
    void schedule_joint(JointSums<Panels> &joint, const Func &mean) {
        joint.sums.compute_at(mean, form.lane);
        for (Func f : {joint.chunk_maximum, joint.chunk_sums}) {
            f.compute_at(joint.sums, joint.chunk);
        }
    }
    template<typename Mean>
    void schedule_mean(Mean &, Panels::Product &) {
        _halide_user_error << "tiled doesn't schedule this algorithm\n";
    }
    void schedule_mean(Dense<Panels> &mean, Panels::Product &key_value) {
        schedule_key_value(key_value);
        schedule_sources(mean.sources);
    }
    void schedule_mean(Banded<Panels> &mean, Panels::Product &key_value) {
        schedule_key_value(key_value);
        schedule_sources(mean.sources);
        schedule_scan(mean.outside.tiles_from_first);
        schedule_scan(mean.outside.tiles_from_last);
        per_source(mean.outside.sums.func, form.tile);
    }

    const Panels &form;
    const Tiles &tiles;
    const int threads_x, unrolled_steps;
    Var tx{"tx"}, ty{"ty"};
};

}  // namespace aft
