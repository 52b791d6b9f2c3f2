#pragma once

namespace aft {

/// Sizes of the panel form; the schedule chooses them (schedules/tiles.h).
struct Tiles {
    int vector;       // lanes of a panel of a pair, and steps per block of a left operand
    int width;        // lanes of a panel that stands alone
    int rows;         // rows of a tile
    int depth;        // longest chunk of a reduction; 0: reductions aren't cut
    int block_rows;   // row tiles per row block, at most
    bool rows_first;  // prepared left operands have the rows of a tile innermost, not the steps

    int panel_lanes(int operands) const {
        return operands == 1 ? width : vector;
    }
    /// Channel blocks that a panel that stands alone has side by side.
    int panel_blocks() const {
        return width / vector;
    }
};

}  // namespace aft
