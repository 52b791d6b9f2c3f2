#include "tune/lengths.h"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <vector>

using namespace aft;
using namespace aft::tune;
using Range = PreferredExtents::Range;

namespace {

// As the rows `single`, `short` and the general one have them.
const std::vector<Range> table = {{1, 2}, {1, 16}, {}};

const std::vector<Choice> of_table = {{1, 0}, {3, 1}, {17, 2}};

/// Costs at lengths where the table's kernel is the best, by 10 %.
std::vector<Cost> costs_of_table(const std::vector<std::int64_t> &lengths) {
    std::vector<Cost> costs;
    for (const std::int64_t seq : lengths) {
        costs.push_back({seq, {0.1, 0.1, 0.1}});
        costs.back().of_kernel[kernel_of_table(table, seq)] = 0;
    }
    return costs;
}

const std::vector<std::int64_t> lengths = {1, 2, 4, 8, 12, 16, 24, 32};

}  // namespace

TEST_CASE("lengths stay those of the table where nothing is faster", "[tune]") {
    CHECK(choices_of_table(table) == of_table);
    CHECK(best_choices(table, costs_of_table(lengths)) == of_table);
    std::vector<Cost> same;
    for (const std::int64_t seq : lengths) {
        same.push_back({seq, {0, 0, 0}});
    }
    CHECK(best_choices(table, same) == of_table);
    CHECK(best_choices(table, {}) == of_table);
    CHECK(best_choices(table, costs_of_table({5})) == of_table);
}

TEST_CASE("a kernel that is faster gets the lengths around those where it was", "[tune]") {
    std::vector<Cost> costs = costs_of_table(lengths);
    for (std::size_t i : {4U, 5U}) {  // 12 and 16
        costs[i].of_kernel[2] = -0.2;
    }
    CHECK(best_choices(table, costs) == std::vector<Choice>{{1, 0}, {3, 1}, {10, 2}});
    costs = costs_of_table(lengths);
    costs[6].of_kernel[1] = -0.2;  // 24
    CHECK(best_choices(table, costs) == std::vector<Choice>{{1, 0}, {3, 1}, {28, 2}});
    costs = costs_of_table(lengths);
    costs[0].of_kernel[2] = -0.2;
    CHECK(best_choices(table, costs) == std::vector<Choice>{{1, 2}, {2, 0}, {3, 1}, {17, 2}});
}

TEST_CASE("beyond the measured lengths, the table's stay", "[tune]") {
    CHECK(best_choices(table, {{8, {0.1, 0, -0.3}}, {10, {0.1, 0, -0.3}}}) ==
          std::vector<Choice>{{1, 0}, {3, 1}, {8, 2}, {11, 1}, {17, 2}});
}

TEST_CASE("kernels whose tiles fit other lengths take turns", "[tune]") {
    std::vector<Cost> costs = costs_of_table({1, 2, 3, 4, 5, 6, 7, 8, 12, 16});
    for (const std::size_t i : {4U, 5U, 8U}) {  // 5, 6 and 12: a tile of 6 rows
        costs[i].of_kernel[2] = -0.3;
    }
    CHECK(best_choices(table, costs) == std::vector<Choice>{{1, 0}, {3, 1}, {5, 2}, {7, 1}, {10, 2}, {14, 1}, {17, 2}});
}

TEST_CASE("a kernel that is wrong gets no length", "[tune]") {
    const double wrong = std::numeric_limits<double>::infinity();
    std::vector<Cost> costs = costs_of_table(lengths);
    for (Cost &cost : costs) {
        cost.of_kernel[2] = cost.seq < 17 ? wrong : 0;
        cost.of_kernel[0] = cost.seq < 3 ? 0 : wrong;
        cost.of_kernel[1] = cost.seq < 3 || cost.seq > 16 ? wrong : 0;
    }
    CHECK(best_choices(table, costs) == of_table);
}
