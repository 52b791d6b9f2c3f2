#pragma once

#include "../forms/panels.h"
#include "matrix_unit.h"

#include <algorithm>

namespace aft {

enum class Device { cpu, cuda, opencl, vulkan };

/// A window that spans three quarters of the longest sequence is taken as the whole sequence: from there on that is
/// faster, as no sums outside the window are needed (docs/performance.md).
inline constexpr WholeWindow whole_window{3, 4};

/// Tile sizes that a kernel asks for; 0 leaves one to tiles_for() or knobs_for().
struct TileRequest {
    int rows, depth, block_rows, panel_vectors, unrolled_steps, key_value_group, target_group, jobs;

    static int or_default(int requested, int value) {
        return requested > 0 ? requested : value;
    }
};

/// In what the table says that a kernel keeps its operands.
enum class Storage { float32, bfloat16, int8 };

/// Whether the target has the instruction that adds two products of bfloat16 to a float32 in each lane, vdpbf16ps.
inline bool multiplies_bfloat16(const Halide::Target &target) {
    using T = Halide::Target;
    return target.features_any_of({T::AVX512_Zen4, T::AVX512_Zen5, T::AVX512_SapphireRapids});
}

inline Kept kept_as(Storage storage, const Halide::Target &target) {
    switch (storage) {
        case Storage::float32: return Kept::float32;
        case Storage::bfloat16: return multiplies_bfloat16(target) ? Kept::pairs : Kept::bfloat16;
        case Storage::int8: break;
    }
    return Kept::int8;
}

/// Whether the target multiplies whole tiles of such operands (AMX).
inline bool uses_matrix_unit(Device device, const Halide::Target &target, Kept kept) {
    return device == Device::cpu && kept == Kept::pairs && target.has_feature(Halide::Target::AVX512_SapphireRapids);
}

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
///
/// On GPUs a tile is a thread block's, and isn't cut in depth: its sums stay in registers. CUDA: 64 rows x 64 channels
/// of two operands read 768 bytes per step for 8192 multiply-adds, 12 bytes per cycle and multiprocessor, a third to a
/// half of what the second-level cache of an H100 gives. OpenCL and Vulkan: 32 x 32, for GPUs with fewer registers. A
/// row block is one tile, so that its keys and values fit shared memory.
///
/// Two steps at a time: an even number of rows, so that the window of every tile begins with the first of two.
/// A matrix unit has tiles of up to 16 rows. Two tiles of sums, for the two vectors of a right panel, share what is
/// loaded of a left operand.
inline Tiles tiles_for(Device device, const Halide::Target &target, Kept kept, const TileRequest &request) {
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
        tiles.rows = kept == Kept::pairs ? 12 : 11;
        tiles.block_rows = 13;
    }
    tiles.has_matrix_unit = uses_matrix_unit(device, target, kept);
    if (tiles.has_matrix_unit) {
        tiles.rows = MatrixUnit::most_rows;
    }
    tiles.width = request.or_default(request.panel_vectors * vector, tiles.width);
    tiles.rows = request.or_default(request.rows, tiles.rows);
    tiles.depth = request.or_default(request.depth, tiles.depth);
    tiles.adds_pairs = target.arch != Halide::Target::RISCV;
    _halide_user_assert(kept != Kept::int8 || (tiles.depth > 0 && tiles.depth <= Int8::most_steps))
        << "a chunk of products in int32 is " << tiles.depth << " steps, must be 1 to " << Int8::most_steps << "\n";
    tiles.block_rows = request.or_default(request.block_rows, tiles.block_rows);
    return tiles;
}

/// Sizes of the loops of CpuPacked.
struct PackedKnobs {
    int unrolled_steps;   // steps of a reduction per iteration of the register kernel
    int key_value_group;  // channel blocks, at most, whose K and V one job makes
    int target_group;     // channel blocks whose sums and queries are held at a time
    int jobs;             // that a call should have
};

/// unrolled_steps: of a whole block of 16, LLVM hoists so many broadcasts that it spills them: 70 % of the peak instead
/// of 92 % (AVX-512, EPYC Zen 4, 2026-11-22). key_value_group: the sums of a job become sources while they are in L2.
/// target_group: 16 x 144 rows x 2 vectors of 8 floats = 144 KiB. jobs: so that 2 to 8 threads have equal shares.
inline PackedKnobs knobs_for(const Tiles &tiles, const TileRequest &request) {
    const int target_group = request.or_default(request.target_group, 16);
    return {request.or_default(request.unrolled_steps, 4), request.or_default(request.key_value_group, 4),
            // Groups of targets are whole panels.
            std::max(target_group / tiles.panel_blocks(), 1) * tiles.panel_blocks(),
            request.or_default(request.jobs, 16)};
}

}  // namespace aft
