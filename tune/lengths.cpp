#include "lengths.h"

#include <algorithm>
#include <cmath>
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

// Less than any gain that a trial finds.
constexpr double cost_of_change = 1e-6;

// The best assignment of segments to kernels, by trying all ranges of one kernel after the other.
class Assignment {
public:
    explicit Assignment(const std::vector<Segment> &segments) : segments_(segments) {
        current_.assign(segments.size(), segments.front().costs.size() - 1);
        try_kernel(0);
    }
    const std::vector<std::size_t> &best() const {
        return best_;
    }

private:
    void try_kernel(std::size_t kernel) {
        const std::size_t last = segments_.front().costs.size() - 1;
        if (kernel == last) {
            if (const double cost = cost_of_current(); cost < least_) {
                least_ = cost;
                best_ = current_;
            }
            return;
        }
        try_kernel(kernel + 1);  // without any length
        for (std::size_t first = 0; first < current_.size(); ++first) {
            std::size_t end = first;
            for (; end < current_.size() && current_[end] == last && std::isfinite(segments_[end].costs[kernel]);
                 ++end) {
                current_[end] = kernel;
                try_kernel(kernel + 1);
            }
            std::fill(current_.begin() + static_cast<std::ptrdiff_t>(first),
                      current_.begin() + static_cast<std::ptrdiff_t>(end), last);
        }
    }
    double cost_of_current() const {
        double cost = 0;
        for (std::size_t i = 0; i < segments_.size(); ++i) {
            cost += segments_[i].costs[current_[i]] + (current_[i] == segments_[i].of_table ? 0 : cost_of_change);
        }
        return cost;
    }

    const std::vector<Segment> &segments_;
    std::vector<std::size_t> current_, best_;
    double least_ = infinity;
};

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
    const std::vector<Segment> segments = segments_of(of_table, costs);
    const std::vector<std::size_t> best = Assignment(segments).best();
    std::vector<Choice> choices;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        choices.push_back({segments[i].from, best[i]});
    }
    return merged(choices);
}

}  // namespace aft::tune
