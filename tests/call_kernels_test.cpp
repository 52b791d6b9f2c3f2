#include "reference/forms.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

using namespace aft;

namespace {

/// The right result of a call.
struct Answer {
    Reference reference;
    double limit;  ///< twice the error of plain float32, or what the storage may be off where that is less
};

bool has_projections(const Problem &problem) {
    return problem.config.hidden != 0;
}

/// Computed once per problem: Catch2 runs a test case again for each of its sections.
const Answer &answer_to(const Problem &problem, const KernelInfo &kernel = {}) {
    static std::map<std::string, Answer> answers;
    const std::string key = describe(problem) + kernel.storage;
    if (const auto known = answers.find(key); known != answers.end()) {
        return known->second;
    }
    const Weights weights = make_weights(problem);
    const CallTensors call = make_call(problem);
    if (kernel.storage == "int8") {
        return answers.emplace(key, Answer{reference_in_int8(problem.config, weights, call.layer), 1}).first->second;
    }
    Reference reference = has_projections(problem) ? reference_layer(problem.config, weights, call.layer)
                                                   : reference_core(problem.config, weights, call.core);
    const std::vector<float> plain = has_projections(problem) ? plain_layer(problem.config, weights, call.layer)
                                                              : plain_core(problem.config, weights, call.core);
    const double limit = std::max(allowed_tolerances(kernel), 2 * error_in_tolerances(reference, plain));
    return answers.emplace(key, Answer{std::move(reference), limit}).first->second;
}

/// The result of a problem, by the kernel that is named; "": by those that the library chooses.
std::vector<float> result(const Problem &problem, const std::string &kernel, const Padding &padding) {
    const Weights weights = make_weights(problem);
    const CallTensors call = make_call(problem);
    if (has_projections(problem)) {
        const Layer layer(problem.config, weights, {kernel});
        return problem.piece ? run_in_pieces(layer, call.layer, problem.piece) : run(layer, call.layer, padding);
    }
    const Core core(problem.config, weights, {kernel});
    return problem.piece ? run_in_pieces(core, call.core, problem.piece) : run(core, call.core, padding);
}

/// A kernel without an id: those that the library chooses.
void check(const Problem &problem, const KernelInfo &kernel = {}) {
    INFO(describe(problem));
    const Answer &answer = answer_to(problem, kernel);
    for (const Padding &padding : {Padding{}, Padding{1, 3, 5}}) {
        CHECK(error_in_tolerances(answer.reference, result(problem, kernel.id, padding)) <= answer.limit);
    }
}

/// One section per kernel of an operation, so that a failure names it and `aft_tests <test> -c <kernel>` runs it alone.
template<typename ProblemsOf>
void check_kernels(const std::string &operation, const ProblemsOf &problems_of) {
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.operation != operation || !runs_here(kernel)) {
            continue;
        }
        DYNAMIC_SECTION(kernel.id) {
            const std::vector<Problem> problems = problems_of(kernel);
            REQUIRE(!problems.empty());
            for (const Problem &problem : problems) {
                check(problem, kernel);
            }
        }
    }
}

/// Without a hand schedule, GPU kernels keep the scores of all pairs and channels, in one buffer: drivers take 128 MiB.
bool fits_driver(const KernelInfo &kernel, const Problem &problem) {
    const std::int64_t scores =
        problem.shape.batch * problem.shape.seq * source_count(problem) * problem.config.projected;
    return kernel.api == "cpu" || kernel.schedule != "naive" || scores <= (std::int64_t(1) << 27) / 4;
}

std::vector<Problem> served(const KernelInfo &kernel, const std::vector<std::vector<Problem>> &lists) {
    std::vector<Problem> some;
    for (const std::vector<Problem> &problems : lists) {
        std::copy_if(problems.begin(), problems.end(), std::back_inserter(some), [&](const Problem &problem) {
            return serves_mean(kernel, problem) && fits_driver(kernel, problem);
        });
    }
    return quick_problems(std::move(some));
}

/// A kernel that holds only from some extents on is tested there: at them, and above.
std::vector<Problem> at_minimum(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    std::vector<Problem> problems;
    for (const std::int64_t more : {0, 5}) {
        const std::int64_t n = m.seq + more, window = kernel.layer->has_window() ? m.window + more : 0;
        Problem problem{{*kernel.layer, 0, m.projected + more, n, std::max<std::int64_t>(window, 1)}, {m.batch, n}};
        problems.push_back(problem);
    }
    return problems;
}

std::vector<Problem> random_core_problems() {
    std::vector<Problem> problems;
    for (const NamedForm &named : named_forms) {
        for (std::uint64_t seed = 1; seed <= 100; ++seed) {
            problems.push_back(random_core_problem(named.form, seed));
        }
    }
    return problems;
}

void check_random(const std::string &operation) {
    if (!std::getenv("AFT_LONG_TESTS")) {
        SKIP("a sweep of some minutes, run with AFT_LONG_TESTS=1");
    }
    check_kernels(operation, [](const KernelInfo &kernel) {
        return served(kernel, {random_core_problems(), at_minimum(kernel)});
    });
}

/// Layers whose projections meet every remainder of a tile: sums of 1 to 515 inputs, 1 to 515 outputs, few and many
/// rows, inputs that all samples share.
std::vector<Problem> linear_problems(const KernelInfo &kernel) {
    const LayerForm form{PositionBias::none, Reach::all, Gate::tanh};  // no kernel computes it in one pipeline
    const MinimumExtents &m = kernel.minimum;
    std::vector<Problem> problems;
    const auto add = [&](std::int64_t batch, std::int64_t rows, std::int64_t hidden, std::int64_t projected) {
        if (batch * rows >= m.seq && batch >= m.batch &&
            std::min(hidden, projected) >= std::max(m.hidden, m.projected)) {
            problems.push_back({{form, hidden, projected, rows}, {batch, rows}, Data::normal, problems.size() + 1});
        }
    };
    const std::vector<std::int64_t> sizes = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13, 15,  16,  17,  23,
                                             24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 127, 128, 129, 257};
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        add(1 + static_cast<std::int64_t>(i % 3), sizes[i], sizes[(7 * i + 3) % sizes.size()],
            sizes[(11 * i + 5) % sizes.size()]);
    }
    add(1, 1, 515, 40), add(1, 3, 40, 515), add(2, 20, 515, 515), add(1, 515, 24, 31);
    const std::int64_t most = std::max({m.hidden, m.projected, std::int64_t(7)}),
                       rows = std::max<std::int64_t>(m.seq, 5);
    add(m.batch, rows, most, most);
    add(m.batch + 1, rows + 3, most + 5, most + 11);
    return problems;
}

}  // namespace

TEST_CASE("every kernel of a projection matches the reference in a layer", "[kernels][linear]") {
    check_kernels("linear", linear_problems);
}

TEST_CASE("every kernel of a mean of all sources matches the reference", "[kernels][core]") {
    check_kernels("core", [](const KernelInfo &kernel) {
        return served(kernel, {core_problems(), layer_problems(), at_minimum(kernel)});
    });
}

TEST_CASE("every kernel of a running mean matches the reference, at once and in pieces", "[kernels][scan]") {
    check_kernels("scan", [](const KernelInfo &kernel) {
        return served(kernel, {scan_problems(), layer_problems(), at_minimum(kernel)});
    });
}

TEST_CASE("every kernel of a mean of all sources matches the reference on random problems", "[long]") {
    check_random("core");
}

TEST_CASE("every kernel of a running mean matches the reference on random problems", "[long]") {
    check_random("scan");
}

TEST_CASE("a mean by the kernels that the library chooses matches the reference", "[core]") {
    for (const std::vector<Problem> &problems : {core_problems(), scan_problems()}) {
        for (const Problem &problem : quick_problems(problems)) {
            check(problem);
        }
    }
}

TEST_CASE("sources that are kept serve calls of any number of targets and any data", "[layer]") {
    std::vector<Problem> problems;
    for (const LayerForm &form : {aft_full, aft_given, aft_causal_given}) {
        for (const Data data :
             {Data::normal, Data::outliers, Data::mismatched_maxima, Data::unbounded_bias, Data::rising_keys,
              Data::wide_biases, Data::huge_keys, Data::offset_keys, Data::huge_values, Data::denormal_values}) {
            for (const std::int64_t n : {1, 2, 7, 16, 17}) {
                const std::int64_t P = n == 7 ? 19 : 32;  // more sources than one chunk has
                Problem problem{{form, 3 * P, P, 300}, {2, n}, data};
                problem.sources = 300;
                problem.mask = n == 1 ? Mask::none : n % 2 ? Mask::sources : Mask::pairs_of_samples;
                problem.has_lengths = n == 16;
                problems.push_back(problem);
            }
        }
    }
    for (const Problem &problem : problems) {
        INFO(describe(problem));
        const CallTensors call = make_call(problem);
        const Layer layer(problem.config, make_weights(problem));
        const bool has_value = call.layer.value.data != nullptr;
        const Sources sources =
            layer.sources(call.layer.key, has_value ? call.layer.value : TensorView<const float, 3>());
        LayerCall kept = call.layer;
        kept.key = kept.value = {};
        kept.sources = &sources;
        CHECK(error_in_tolerances(answer_to(problem).reference, run(layer, kept, {})) <= answer_to(problem).limit);
    }
}

TEST_CASE("every form with every gate matches the reference in a layer", "[layer]") {
    for (const Problem &problem : layer_problems()) {
        check(problem);
    }
}
