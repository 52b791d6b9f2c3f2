#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

using namespace aft;

namespace {

std::int64_t next_prime(std::int64_t n) {
    const auto is_prime = [](std::int64_t n) {
        for (std::int64_t d = 2; d * d <= n; ++d) {
            if (n % d == 0) {
                return false;
            }
        }
        return n > 1;
    };
    while (!is_prime(n)) {
        ++n;
    }
    return n;
}

/// A kernel that holds only from some extents on is tested there: at them, and at primes above.
std::vector<Problem> problems_at_minimum(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    const std::int64_t seq = next_prime(m.seq + 2), hidden = next_prime(m.hidden + 2);
    const std::int64_t projected = next_prime(m.projected + 2), window = next_prime(m.window + 2);
    return {{{*kernel.layer, m.hidden, m.projected, m.seq, m.window}, {m.batch, m.seq}},
            {{*kernel.layer, hidden, projected, seq + 4, window}, {m.batch + 1, seq}, Data::outliers}};
}

/// The target positions that are compared: all of a short sequence; of a long one the ends, which are the tails of
/// tiles, and others that meet every remainder of a tile's size.
std::vector<std::int64_t> checked_rows(std::int64_t seq) {
    std::vector<std::int64_t> rows;
    for (std::int64_t t = 0; t < seq; t += seq < 600 || t < 12 || t >= seq - 12 ? 1 : 37) {
        rows.push_back(t);
    }
    return rows;
}

std::vector<float> rows_of(const std::vector<float> &y, const Problem &problem, const std::vector<std::int64_t> &rows) {
    std::vector<float> some;
    for (std::int64_t b = 0; b < problem.shape.batch; ++b) {
        for (const std::int64_t t : rows) {
            const auto row = y.begin() + (b * problem.shape.seq + t) * problem.config.hidden;
            some.insert(some.end(), row, row + problem.config.hidden);
        }
    }
    return some;
}

/// The input of a problem, rounded to what the kernel multiplies: a key that is far above 1 is off by more than 1 where
/// its input is rounded.
std::vector<float> input_of(const Problem &problem, const std::string &storage) {
    std::vector<float> x = make_input(problem);
    if (storage == "bfloat16") {
        for (float &value : x) {
            std::uint32_t bits;
            std::memcpy(&bits, &value, sizeof bits);
            bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;  // to the nearest, to even
            std::memcpy(&value, &bits, sizeof bits);
        }
    }
    return x;
}

/// The right result of a problem, on some rows.
struct Answer {
    std::vector<std::int64_t> rows;
    Reference reference;
    double limit;  ///< twice the error of plain float32, or what the storage may be off where that is less
};

/// Computed once per problem: Catch2 runs a test case again for each of its sections.
const Answer &answer_to(const Problem &problem, const KernelInfo &kernel) {
    static std::map<std::string, Answer> answers;
    const std::string &storage = kernel.storage, key = describe(problem) + storage;
    if (const auto known = answers.find(key); known != answers.end()) {
        return known->second;
    }
    const Weights weights = make_weights(problem);
    const std::vector<float> x = input_of(problem, storage);
    std::vector<std::int64_t> rows = checked_rows(problem.shape.seq);
    const Reference exact = reference_forward(problem.config, weights, x, problem.shape, rows);
    const std::vector<float> plain = plain_forward(problem.config, weights, x, problem.shape, rows);
    Expected expected =
        expected_layer(kernel, problem.config, weights, call_with(problem.config, x, problem.shape), rows);
    const double limit = std::max(expected.allowed, 2 * error_in_tolerances(exact, plain));
    return answers.emplace(key, Answer{std::move(rows), std::move(expected.reference), limit}).first->second;
}

/// The kernel gives the reference's result: within the tolerance, or where plain float32 is worse than usual, within
/// twice its error.
void check(const KernelInfo &kernel, const Problem &problem) {
    INFO(describe(problem));
    const Answer &answer = answer_to(problem, kernel);
    const std::vector<float> x = input_of(problem, kernel.storage);
    const Layer layer(problem.config, make_weights(problem), {kernel.id});
    CHECK(layer.kernel_for(problem.shape).id == kernel.id);
    for (const Padding &padding : {Padding{}, Padding{1, 3, 5}}) {
        const std::vector<float> y = run(layer, x, problem.shape, padding);
        CHECK(error_in_tolerances(answer.reference, rows_of(y, problem, answer.rows)) <= answer.limit);
    }
}

/// One section per kernel, so that a failure names it and `aft_tests <test> -c <kernel>` runs it alone.
template<typename ProblemsOf>
void check_kernels(LayerForm form, const ProblemsOf &problems_of) {
    bool has_kernel = false;
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.layer != form) {
            continue;
        }
        has_kernel = true;
        DYNAMIC_SECTION(kernel.id) {
            const std::vector<Problem> problems = problems_of(kernel);
            REQUIRE(!problems.empty());
            for (const Problem &problem : problems) {
                check(kernel, problem);
            }
        }
    }
    if (!has_kernel) {
        SKIP("no kernel that runs here computes this form in one pipeline");
    }
}

std::vector<Problem> admitted(const KernelInfo &kernel, std::vector<Problem> problems) {
    const auto refused = [&](const Problem &problem) { return !can_run(kernel, problem); };
    problems.erase(std::remove_if(problems.begin(), problems.end(), refused), problems.end());
    return problems;
}

void check_layer(LayerForm form) {
    check_kernels(form, [](const KernelInfo &kernel) {
        std::vector<Problem> problems = admitted(kernel, test_problems());
        const std::vector<Problem> at_minimum = problems_at_minimum(kernel);
        problems.insert(problems.end(), at_minimum.begin(), at_minimum.end());
        return problems;
    });
}

void check_random(LayerForm form) {
    if (!std::getenv("AFT_LONG_TESTS")) {
        SKIP("a sweep of some minutes, run with AFT_LONG_TESTS=1");
    }
    std::vector<Problem> problems;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        problems.push_back(random_problem(form, seed));
    }
    check_kernels(form, [&](const KernelInfo &kernel) { return admitted(kernel, problems); });
}

}  // namespace

TEST_CASE("kernels that keep bfloat16 are off by its roundings and no more", "[kernels]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.storage != "bfloat16") {
            continue;
        }
        DYNAMIC_SECTION(kernel.id) {
            Problem problem = problem_for(kernel);
            problem.config.hidden = problem.config.projected = 130;
            const std::vector<float> x = make_input(problem);
            // Independent roundings of many terms: far below the sum of their bounds.
            const Weights weights = make_weights(problem);
            const std::vector<float> y = run(Layer(problem.config, weights, {kernel.id}), x, problem.shape);
            const double error = error_in_tolerances(reference_forward(problem.config, weights, x, problem.shape), y);
            CHECK(error <= allowed_tolerances(kernel) / 16);
            CHECK(error > 2);
        }
    }
}

TEST_CASE("kernels that keep bfloat16 sum what it has exactly in float32", "[kernels]") {
    // The keys and biases are 0, so that all weights are 1, and the gate is 1/2. Values are whole numbers, of which 128
    // rows make a mean without rounding. y has 18 bits.
    constexpr std::int64_t rows = 128, channels = 40;
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.storage != "bfloat16") {
            continue;
        }
        DYNAMIC_SECTION(kernel.id) {
            const std::int64_t window = kernel.layer->has_window() ? 9 : 0;
            const Problem problem{{*kernel.layer, channels, channels, rows, window}, {2, rows}};
            Weights weights = make_weights(problem);
            for (std::vector<float> *zero : {&weights.query_weight, &weights.query_bias, &weights.key_weight,
                                             &weights.key_bias, &weights.value_bias, &weights.position_bias}) {
                std::fill(zero->begin(), zero->end(), 0.0f);
            }
            for (std::int64_t i = 0; i < channels * channels; ++i) {
                weights.value_weight[i] = static_cast<float>(i % (channels + 1) == 0);
                weights.project_weight[i] = static_cast<float>(i * 37 % 509 - 254);
            }
            std::vector<float> x(2 * rows * channels);
            for (std::int64_t i = 0; i < 2 * rows * channels; ++i) {
                x[i] = static_cast<float>(i / channels % 2 * (i % channels + 2));
            }
            const std::vector<float> y = run(Layer(problem.config, weights, {kernel.id}), x, problem.shape);
            CHECK(error_in_tolerances(reference_forward(problem.config, weights, x, problem.shape), y) <= 1);
        }
    }
}

TEST_CASE("kernels that keep bfloat16 keep what it would round to infinity finite", "[kernels]") {
    constexpr float largest = std::numeric_limits<float>::max();
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.storage != "bfloat16") {
            continue;
        }
        DYNAMIC_SECTION(kernel.id) {
            const LayerConfig config{*kernel.layer, 1, 1, 1, 1};
            Weights weights;
            weights.query_weight = weights.key_weight = {0};
            weights.value_weight = {largest};
            weights.project_weight = {1};
            if (kernel.layer->has_bias()) {
                weights.position_bias = {0};
            }
            const std::vector<float> y = run(Layer(config, weights, {kernel.id}), {-1}, {1, 1});
            CHECK(std::abs(y[0] / largest + 0.5f) <= 1.0f / 256);
        }
    }
}

TEST_CASE("exact kernels take keys and biases whose sums are beyond float32", "[kernels]") {
    constexpr float largest = std::numeric_limits<float>::max();
    const std::vector<float> edges = {largest, -largest, 0.75f * largest, -0.75f * largest, 1e-38f, 1};
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || !kernel.layer->has_bias() || !kernel.any_bias_range) {
            continue;
        }
        DYNAMIC_SECTION(kernel.id) {
            Problem problem{{*kernel.layer, 6, 2, 6, kernel.layer->has_window() ? 3 : 0}, {1, 6}, Data::huge_keys};
            Weights weights = make_weights(problem);
            std::vector<float> x = make_input(problem);
            for (int s = 0; s < 6; ++s) {
                x[s * 6 + 2] = edges[s];  // the keys of both channels
                x[s * 6 + 3] = edges[(2 * s + 1) % 6];
                for (int t = 0; t < 6; ++t) {
                    weights.position_bias[t * 6 + s] = edges[(s * (t + 1) + t / 2) % 6];
                }
            }
            const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
            CHECK(error_in_tolerances(reference, run(Layer(problem.config, weights, {kernel.id}), x, problem.shape)) <=
                  1);
        }
    }
}

namespace {

/// A test case of every form that has a name. TEST_CASE makes none at run time, so this is what it does.
class FormTest : public Catch::ITestInvoker {
public:
    FormTest(void (*check)(LayerForm), const LayerForm &form) : check_(check), form_(form) {}

    static bool add(void (*check)(LayerForm), const std::string &about, const char *tags) {
        for (const NamedForm &named : named_forms) {
            const std::string name = "every " + std::string(named.title) + about;
            Catch::AutoReg(Catch::Detail::make_unique<FormTest>(check, named.form), CATCH_INTERNAL_LINEINFO, "",
                           {name, tags});
        }
        return true;
    }

    void invoke() const override {
        check_(form_);
    }

private:
    void (*check_)(LayerForm);
    LayerForm form_;
};

const bool tests_are_added = FormTest::add(check_layer, " kernel matches the reference", "[kernels]") &&
                             FormTest::add(check_random, " kernel matches the reference on random problems", "[long]");

}  // namespace
