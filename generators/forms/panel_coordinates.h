#pragma once

#include "form.h"
#include "tile_sizes.h"

namespace aft {

/// The coordinates of what lies in panels: channels in blocks of `vector` lanes, targets in tiles of rows, reductions
/// in equal chunks.
struct PanelCoordinates {
    using Expr = Halide::Expr;

    /// channel = block * vector + lane, row = tile * tile_rows + row_in_tile. Funcs in panels are addressed by the
    /// parts.
    struct Element {
        Expr lane, block, batch, row_in_tile, tile;
        Expr channel, row;
    };

    const Tiles tiles;
    const int tile_rows;

    static constexpr int scan_chunk = 32;  // items of a chunk of a scan

    explicit PanelCoordinates(const Tiles &tiles) : tiles(tiles), tile_rows(tiles.rows) {}

    /// A reduction as equal chunks of whole blocks of steps.
    EqualParts depth_chunks(const Expr &extent) const {
        return {ceil_div(extent, tiles.steps()), tiles.depth / tiles.steps()};
    }
    Expr padded_blocks(const Expr &extent) const {
        const EqualParts chunks = depth_chunks(extent);
        return chunks.parts * chunks.length;
    }
    /// The steps that a reduction over `extent` runs over.
    Expr padded(const Expr &extent) const {
        return padded_blocks(extent) * tiles.steps();
    }
    Expr row_tiles(const Expr &seq) const {
        return ceil_div(seq, tiles.rows);
    }

    std::vector<Halide::Var> source_vars() const {
        return {lane, row, block, batch};
    }
    std::vector<Expr> at_source(const Element &e) const {
        return {e.lane, e.row, e.block, e.batch};
    }
    std::vector<Halide::Var> channel_vars() const {
        return {lane, block, batch};
    }
    std::vector<Expr> at_channel(const Element &e) const {
        return {e.lane, e.block, e.batch};
    }
    Element row_of(const Element &e, const Expr &row) const {
        return {e.lane, e.block, e.batch, row % tiles.rows, row / tiles.rows, e.channel, row};
    }
    Element variable() const {
        return {lane, block, batch, row % tiles.rows, row / tiles.rows, block * tiles.vector + lane, row};
    }
    static Expr tile_of(const Element &e) {
        return e.tile;
    }
    static std::vector<Expr> at_row(const Element &e, const Expr &tile) {
        return {e.row_in_tile, tile};
    }
    std::vector<Halide::Var> tile_vars() const {
        return {block, tile, batch};
    }
    static std::vector<Expr> at_tile(const Element &e) {
        return {e.block, e.tile, e.batch};
    }
    /// The elements of a tile and a block of channels.
    Halide::RDom elements_of_tile() const {
        return {{{0, tiles.vector}, {0, tiles.rows}}, "of_tile"};
    }
    Element element_of_tile(const Halide::RDom &element) const {
        return {
            element.x, block, batch, element.y, tile, block * tiles.vector + element.x, tile * tiles.rows + element.y};
    }
    Element at(const Expr &channel, const Expr &row, const Expr &batch) const {
        return {
            channel % tiles.vector, channel / tiles.vector, batch, row % tiles.rows, row / tiles.rows, channel, row};
    }
    Element in_tile(const Expr &row_in_tile, const Expr &tile) const {
        return {lane, block, batch, row_in_tile, tile, block * tiles.vector + lane, tile * tiles.rows + row_in_tile};
    }

    /// The same where the channels are the steps of a left operand, which has blocks of its own.
    Element in_steps(const Expr &row_in_tile, const Expr &tile) const {
        Element e = in_tile(row_in_tile, tile);
        if (tiles.steps() != tiles.vector) {
            e.channel = block * tiles.steps() + lane;
            e.lane = lane % tiles.vector;
            e.block = block * (tiles.steps() / tiles.vector) + lane / tiles.vector;
        }
        return e;
    }

    /// The rows of a sequence in chunks: its row blocks.
    struct Chunks {
        Expr count, length, seq;  // length: in tiles
        Halide::RDom row;         // x: in a tile; y: tile of the chunk
        Expr tile(const Expr &chunk) const {
            return chunk * length + row.y;
        }
        Element at(const PanelCoordinates &form, const Element &e, const Expr &chunk) const {
            return {e.lane, e.block, e.batch, row.x, tile(chunk), e.channel, tile(chunk) * form.tiles.rows + row.x};
        }
        Expr inside(const Expr &chunk) const {
            return tile(chunk) * rows + row.x < seq;
        }
        int rows;
    };
    Chunks chunks(const Expr &seq) const {
        EqualParts blocks(row_tiles(seq), tiles.block_rows);
        if (tiles.block_rows == 1) {
            blocks.length = 1;
        }
        return {blocks.parts, blocks.length, seq, Halide::RDom({{0, tiles.rows}, {0, blocks.length}}, "chunk_row"),
                tiles.rows};
    }

    Halide::Var lane{"lane"}, row_in_tile{"row_in_tile"}, block{"block"}, tile{"tile"}, row{"row"}, batch{"batch"};
    Halide::Var odd{"odd"}, pair{"pair"};  // row = 2 pair + odd
};

}  // namespace aft
