#include "lengths.h"

#include <algorithm>
#include <limits>
#include <set>

namespace aft::tune {

namespace {

using Range = PreferredExtents::Range;

constexpr double infinity = std::numeric_limits<double>::infinity();

bool contains(const Range &range, std::int64_t value) {
    return range.from <= value && value <= range.to;
}

// Lengths that get the same kernel, up to those of the next segment.
struct Segment {
    std::int64_t from;
    std::vector<double> costs;
    std::size_t of_table;
};

Segment fixed(const std::vector<Range> &of_table, std::int64_t from) {
    Segment result{from, std::vector<double>(of_table.size(), infinity), kernel_of_table(of_table, from)};
    result.costs[result.of_table] = 0;
    return result;
}

std::vector<Segment> segments_of(const std::vector<Range> &of_table, const std::vector<Cost> &costs) {
    std::vector<Segment> segments;
    std::int64_t before = 0;  // the last measured length
    for (const Cost &cost : costs) {
        const std::size_t here = kernel_of_table(of_table, cost.seq);
        std::int64_t from = before == 0 ? cost.seq : (before + cost.seq + 1) / 2;
        for (const Choice &choice : choices_of_table(of_table)) {
            if (before == 0 && choice.from < cost.seq) {
                segments.push_back(fixed(of_table, choice.from));
            } else if (before != 0 && before < choice.from && choice.from <= cost.seq && choice.kernel == here) {
                from = choice.from;
            }
        }
        segments.push_back({from, cost.of_kernel, here});
        before = cost.seq;
    }
    segments.push_back(fixed(of_table, before + 1));
    for (const Choice &choice : choices_of_table(of_table)) {
        if (choice.from > before + 1) {
            segments.push_back(fixed(of_table, choice.from));
        }
    }
    return segments;
}

// The table's kernel where none costs less.
std::size_t best_kernel(const Segment &segment) {
    std::size_t best = segment.of_table;
    for (std::size_t i = 0; i < segment.costs.size(); ++i) {
        best = segment.costs[i] < segment.costs[best] ? i : best;
    }
    return best;
}

std::vector<Choice> merged(const std::vector<Choice> &choices) {
    std::vector<Choice> result;
    for (const Choice &each : choices) {
        if (result.empty() || result.back().kernel != each.kernel) {
            result.push_back(each);
        }
    }
    return result;
}

}  // namespace

std::size_t kernel_of_table(const std::vector<Range> &of_table, std::int64_t seq) {
    const auto found =
        std::find_if(of_table.begin(), of_table.end(), [&](const Range &range) { return contains(range, seq); });
    return static_cast<std::size_t>(found - of_table.begin());
}

std::vector<Choice> choices_of_table(const std::vector<Range> &of_table) {
    std::set<std::int64_t> starts = {1};
    for (const Range &range : of_table) {
        starts.insert(std::max<std::int64_t>(range.from, 1));
        if (range.to != Range().to) {
            starts.insert(range.to + 1);
        }
    }
    std::vector<Choice> choices;
    for (const std::int64_t start : starts) {
        choices.push_back({start, kernel_of_table(of_table, start)});
    }
    return merged(choices);
}

std::vector<Choice> best_choices(const std::vector<Range> &of_table, const std::vector<Cost> &costs) {
    std::vector<Choice> choices;
    for (const Segment &segment : segments_of(of_table, costs)) {
        choices.push_back({segment.from, best_kernel(segment)});
    }
    return merged(choices);
}

}  // namespace aft::tune
