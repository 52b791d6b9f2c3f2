#pragma once

#include <aft/config.h>

#include <algorithm>
#include <cstdint>

namespace aft {

/// The part of a sequence that one process has, and what it gets of the others: all rows of those that it sees, or the
/// nearest rows of its neighbours, and a piece, one source, for all that a process has.
struct Shard {
    bool is_causal;
    int rank, ranks;
    std::int64_t rows;           // of each process
    std::int64_t near;           // rows that a process sees one by one of each neighbour
    bool gathers;                // all rows, instead of pieces and neighbours
    std::int64_t before, after;  // rows of others

    Shard(const LayerConfig &config, int rank, int ranks, std::int64_t rows)
        : is_causal(config.form.is_causal()), rank(rank), ranks(ranks), rows(rows),
          near(config.form.has_window() ? std::max<std::int64_t>(config.window - 1, 0) : 0),
          gathers(config.form.has_positions() && (!config.form.has_window() || near > rows)) {
        const int ranks_after = is_causal ? 0 : ranks - 1 - rank;
        before = gathers ? rank * rows : std::min(rank, 1) * near;
        after = gathers ? ranks_after * rows : std::min(ranks_after, 1) * near;
    }

    /// Whether a process uses rows of another.
    bool sees(int each, int other) const {
        return each != other && (!is_causal || other < each);
    }
    /// Rows of keys and values that go to all receivers together; a piece is one row.
    std::int64_t rows_sent() const {
        const int seen_by = is_causal ? ranks - 1 - rank : ranks - 1;
        if (gathers) {
            return seen_by * rows;
        }
        const int neighbours = (rank + 1 < ranks ? 1 : 0) + (rank > 0 && !is_causal ? 1 : 0);
        return ranks - 1 + (near > 0 ? neighbours * (1 + near) : 0);
    }
};

}  // namespace aft
