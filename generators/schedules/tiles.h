#pragma once

#include "../algorithms/panels.h"

#include <algorithm>

namespace aft {

enum class Device { cpu, cuda, opencl, vulkan };

/// Tile sizes that a build asks for; 0 leaves one to tiles_for().
struct TileRequest {
    int rows, depth, block_rows, panel_vectors, unrolled_steps, key_value_group, target_group, jobs;
};

/// The tiles of a target. The register tile is rows x two vectors: its accumulators plus the two vectors of a right
/// panel and a broadcast must fit the vector registers, and its independent sums must cover latency x throughput of
/// the multiply-adds (4 cycles x 2 = 8).
///     AVX-512: 32 registers, 11 x 2 + 2 (broadcasts fold into the multiply-add); as fast as 12 where sequences are
///         long, and the 197 positions of a vision transformer are 18 tiles with one row to spare
///     AVX2, SSE: 16 registers, 6 x 2 + 2 + 1
///     NEON: 32 registers, 8 x 2 + 2 + 8 (a left vector is four steps of a row, and the multiply-add takes a lane; with
///         10 rows some are spilled)
/// depth: a chunk of a right panel, depth x 2 vectors, stays in L1 (AVX2: 256 x 16 floats = 16 KiB of 32); longer
/// chunks double the rounding error for no gain. A row block is about 144 rows: its left panels stay in L2.
/// unrolled_steps: of a whole block of 16, LLVM hoists so many broadcasts that it spills them: 70 % of the peak instead
/// of 92 % (AVX-512, EPYC Zen 4, 2026-11-22). key_value_group: the sums of a job become sources while they are in L2.
/// target_group: 16 x 144 rows x 2 vectors of 8 floats = 144 KiB. jobs: so that 2 to 8 threads have equal shares.
///
/// On GPUs a tile is a thread block's, and isn't cut in depth: its sums stay in registers. CUDA: 64 rows x 64 channels
/// of two operands read 768 bytes per step for 8192 multiply-adds, 12 bytes per cycle and multiprocessor, a third to a
/// half of what the second-level cache of an H100 gives. OpenCL and Vulkan: 32 x 32, for GPUs with fewer registers. A
/// row block is one tile, so that its keys and values fit shared memory.
inline Tiles tiles_for(Device device, const Halide::Target &target, const TileRequest &request) {
    const int vector = target.natural_vector_size<float>();
    Tiles tiles{vector, 2 * vector, 6, 256, 24, false};
    if (device == Device::cuda) {
        tiles = {64, 64, 64, 0, 1, true};
    } else if (device != Device::cpu) {
        tiles = {32, 32, 32, 0, 1, true};
    } else if (target.arch == Halide::Target::ARM) {
        tiles.rows = 8;
        tiles.block_rows = 18;
    } else if (tiles.vector == 16) {
        tiles.rows = 11;
        tiles.block_rows = 13;
    }
    const auto or_default = [](int requested, int value) { return requested > 0 ? requested : value; };
    tiles.width = or_default(request.panel_vectors * vector, tiles.width);
    tiles.rows = or_default(request.rows, tiles.rows);
    tiles.depth = or_default(request.depth, tiles.depth);
    tiles.block_rows = or_default(request.block_rows, tiles.block_rows);
    tiles.unrolled_steps = or_default(request.unrolled_steps, 4);
    tiles.key_value_group = or_default(request.key_value_group, 4);
    tiles.target_group = or_default(request.target_group, 16);
    tiles.jobs = or_default(request.jobs, 16);
    // Groups of targets are whole panels.
    tiles.target_group = std::max(tiles.target_group / tiles.panel_blocks(), 1) * tiles.panel_blocks();
    return tiles;
}

}  // namespace aft
