#pragma once

#include "../algorithms/panels.h"

namespace aft {

/// Tile sizes that a build asks for; 0 leaves one to tiles_for().
struct TileRequest {
    int rows, depth, block_rows;
};

/// The tiles of a target. The register tile is rows x two vectors: its accumulators plus the two vectors of a right
/// panel and a broadcast must fit the vector registers, and its independent sums must cover latency x throughput of
/// the multiply-adds (4 cycles x 2 = 8).
///     AVX-512: 32 registers, 12 x 2 + 2 (broadcasts fold into the multiply-add)
///     AVX2, SSE: 16 registers, 6 x 2 + 2 + 1
///     NEON: 32 registers, 8 x 2 + 2 + 2
/// depth: a chunk of a right panel, depth x 2 vectors, stays in L1 (AVX2: 256 x 16 floats = 16 KiB of 32); longer
/// chunks double the rounding error for no gain. A row block is 144 rows: its left panels stay in L2.
inline Tiles tiles_for(const Halide::Target &target, const TileRequest &request) {
    Tiles tiles{target.natural_vector_size<float>(), 6, 256, 24};
    if (target.arch == Halide::Target::ARM) {
        tiles.rows = 8;
        tiles.block_rows = 18;
    } else if (tiles.vector == 16) {
        tiles.rows = 12;
        tiles.block_rows = 12;
    }
    tiles.rows = request.rows > 0 ? request.rows : tiles.rows;
    tiles.depth = request.depth > 0 ? request.depth : tiles.depth;
    tiles.block_rows = request.block_rows > 0 ? request.block_rows : tiles.block_rows;
    return tiles;
}

}  // namespace aft
