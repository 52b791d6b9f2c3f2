#pragma once

namespace aft {

/// In what prepared parameters and sources are kept. Sums are in float32.
enum class Kept {
    float32,
    bfloat16,  ///< widened to float32 before they are multiplied
    pairs,     ///< bfloat16, multiplied as they are, two steps by one instruction; so are the input and gated values
    int8,      ///< weights in int8, which multiply the input and gated values in int16 (int8.h); all else in float32
};

/// Sizes of the panel form; the schedule chooses them (schedules/tiles.h).
struct Tiles {
    int vector;       // lanes of a panel of a pair
    int width;        // lanes of a panel that stands alone
    int rows;         // rows of a tile
    int depth;        // longest chunk of a reduction; 0: reductions aren't cut
    int block_rows;   // row tiles per row block, at most
    bool rows_first;  // prepared left operands have the rows of a tile innermost, not the steps

    /// Whether two steps of a product are one sum. Of integers on RISC-V, Halide 21 makes casts that LLVM refuses.
    bool adds_pairs = true;
    /// Whether a matrix unit multiplies pairs of steps, block by block (schedules/matrix_unit.h).
    bool has_matrix_unit = false;

    /// Steps of a block of a left operand: two vectors of pairs are a row of the matrix unit.
    int steps() const {
        return has_matrix_unit ? 2 * vector : vector;
    }
    /// A reduction that ends early does so after a multiple of these steps.
    int steps_per_test() const {
        return has_matrix_unit ? steps() : 4;
    }

    int panel_lanes(int operands) const {
        return operands == 1 ? width : vector;
    }
    /// Channel blocks that a panel that stands alone has side by side.
    int panel_blocks() const {
        return width / vector;
    }
};

}  // namespace aft
