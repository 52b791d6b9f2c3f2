#include "problem.h"
#include "reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>

using namespace aft;

namespace {

std::int64_t next_prime(std::int64_t n) {
    const auto is_prime = [](std::int64_t n) {
        for (std::int64_t d = 2; d * d <= n; ++d)
            if (n % d == 0)
                return false;
        return n > 1;
    };
    while (!is_prime(n))
        ++n;
    return n;
}

/// A kernel that holds only from some extents on is tested there: at them, just above, and at primes.
std::vector<Problem> problems_at_minimum(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    if (m.batch == 1 && m.seq == 1 && m.hidden == 1 && m.projected == 1)
        return {};
    const std::int64_t window = std::max<std::int64_t>(m.window, 1);
    const std::int64_t seq = next_prime(m.seq + 2), hidden = next_prime(m.hidden + 2);
    const std::int64_t projected = next_prime(m.projected + 2);
    return {{{kernel.layer, m.hidden, m.projected, m.seq, window}, {m.batch, m.seq}},
            {{kernel.layer, m.hidden + 1, m.projected + 1, m.seq + 3, window + 1}, {m.batch + 1, m.seq + 1}},
            {{kernel.layer, hidden, m.projected, seq, m.seq}, {m.batch, seq}, Data::outliers},
            {{kernel.layer, m.hidden, projected, seq + 4, seq + 1}, {m.batch + 1, seq}}};
}

/// Every kernel of the problem's layer that can do it gives the reference's result: within the tolerance, or where
/// plain float32 is worse than usual, within twice its error. Counts the kernels' problems.
void check(const Problem &problem, std::map<std::string, int> &tested) {
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
    const std::vector<float> plain = plain_forward(problem.config, weights, x, problem.shape);
    const double limit = std::max(1.0, 2 * error_in_tolerances(reference, plain));
    for (const KernelInfo &kernel : kernels()) {
        if (!kernel.usable || !admits(kernel, problem))
            continue;
        INFO(kernel.id << " on " << describe(problem));
        const Layer layer(problem.config, weights, {kernel.id});
        CHECK(layer.kernel_for(problem.shape).id == kernel.id);
        CHECK(error_in_tolerances(reference, run(layer, x, problem.shape)) <= limit);
        CHECK(error_in_tolerances(reference, run(layer, x, problem.shape, {1, 3, 5})) <= limit);
        ++tested[kernel.id];
    }
}

void check_layer(LayerKind kind) {
    std::vector<Problem> problems = test_problems();
    for (const KernelInfo &kernel : kernels())
        for (const Problem &problem : problems_at_minimum(kernel)) {
            const auto same = [&](const Problem &other) { return describe(other) == describe(problem); };
            if (std::none_of(problems.begin(), problems.end(), same))
                problems.push_back(problem);
        }
    std::map<std::string, int> tested;
    for (const Problem &problem : problems)
        if (problem.config.kind == kind)
            check(problem, tested);
    for (const KernelInfo &kernel : kernels())
        if (kernel.layer == kind && kernel.usable) {
            INFO(kernel.id);
            CHECK(tested[kernel.id] > 0);
        }
}

void check_random(LayerKind kind) {
    if (!std::getenv("AFT_LONG_TESTS"))
        SKIP("a sweep of some minutes, run with AFT_LONG_TESTS=1");
    std::map<std::string, int> tested;
    for (std::uint64_t seed = 1; seed <= 300; ++seed)
        check(random_problem(kind, seed), tested);
}

}  // namespace

TEST_CASE("every AFTFull kernel matches the reference", "[kernels]") { check_layer(LayerKind::full); }
TEST_CASE("every AFTSimple kernel matches the reference", "[kernels]") { check_layer(LayerKind::simple); }
TEST_CASE("every AFTLocal kernel matches the reference", "[kernels]") { check_layer(LayerKind::local); }

TEST_CASE("every AFTFull kernel matches the reference on random problems", "[long]") { check_random(LayerKind::full); }
TEST_CASE("every AFTSimple kernel matches the reference on random problems", "[long]") {
    check_random(LayerKind::simple);
}
TEST_CASE("every AFTLocal kernel matches the reference on random problems", "[long]") {
    check_random(LayerKind::local);
}
