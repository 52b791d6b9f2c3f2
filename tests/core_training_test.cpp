#include "core_steps.h"
#include "reference/gradients.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace aft;

namespace {

/// The right result and gradients.
struct Answer {
    Reference y;
    Gradients gradients;
};

/// Computed once per problem: Catch2 runs a test case again for each of its sections.
const Answer &answer_to(const Problem &problem) {
    static std::map<std::string, Answer> answers;
    const std::string key = describe(problem);
    if (const auto known = answers.find(key); known != answers.end()) {
        return known->second;
    }
    const Weights weights = make_weights(problem);
    const CallTensors call = make_call(problem);
    std::vector<float> dy = gradient_of_result(problem, call);
    std::replace_if(dy.begin(), dy.end(), [](float value) { return std::isnan(value); }, 0.0f);
    Answer answer{reference_core(problem.config, weights, call.core),
                  reference_core_gradients(problem.config, weights, call.core, dy)};
    if (problem.config.form.takes_bias() && !problem.bias_per_sample) {
        answer.gradients.position_bias = sum_of_samples(answer.gradients.position_bias, problem.shape.batch);
    }
    return answers.emplace(key, std::move(answer)).first->second;
}

void check_step(const CoreTraining &training, const Problem &problem, double allowed = 1) {
    INFO(describe(problem));
    const Step step = step_of(training, problem);
    const Answer &answer = answer_to(problem);
    const auto check = [&](const char *name, const Reference &reference, const std::vector<float> &result) {
        INFO(name);
        CHECK(error_in_tolerances(reference, result) <= allowed);
    };
    check("y", answer.y, step.y);
    if (problem.config.form.has_query()) {
        check("query", answer.gradients.query, step.query);
    }
    check("key", answer.gradients.key, step.key);
    check("value", answer.gradients.value, step.value);
    check("position_bias", answer.gradients.position_bias, step.position_bias);
}

void check_same_samples(const Step &step, const Step &whole) {
    CHECK(same_bits(step.y, whole.y));
    CHECK(same_bits(step.query, whole.query));
    CHECK(same_bits(step.key, whole.key));
    CHECK(same_bits(step.value, whole.value));
}

/// With all that a call may have, on uneven extents of 3 samples or more: of the kernel's form, and of the causal form
/// that it computes as well.
std::vector<Problem> smallest_problems(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    const std::int64_t n = std::max<std::int64_t>(m.seq, 40) + 1, P = std::max<std::int64_t>(m.projected, 20) + 1;
    Problem problem{{*kernel.layer, 0, P, n}, {m.batch + 2, n}};
    problem.config.window = kernel.layer->has_window() ? std::max<std::int64_t>(m.window, 5) : 0;
    problem.has_lengths = true;
    problem.mask = kernel.layer->takes_bias() ? Mask::pairs_of_samples : Mask::sources;
    problem.bias_per_sample = kernel.layer->takes_bias();
    std::vector<Problem> problems = {problem};
    if (kernel.layer->has_window()) {
        problem.config.form = aft_causal_local;
        problems.push_back(problem);
    }
    return problems;
}

/// Causal windows and sums, on kernels that the library chooses by the length of the window.
std::vector<Problem> causal_problems() {
    std::vector<Problem> problems;
    for (const Problem &problem : training_problems()) {
        if (is_running(problem.config.form) && problem.mask <= Mask::sources) {
            problems.push_back(problem);
        }
    }
    for (const std::int64_t window : {0, 1, 9, 51, 52, 53, 130}) {  // 2/5 of the targets are 52
        Problem problem{{aft_causal_local, 0, 20, 131, window}, {3, 130}};
        problem.mask = Mask::sources;
        problem.has_lengths = window % 2 != 0;
        problem.data = window < 51 ? Data::outliers : Data::rising_keys;
        problems.push_back(problem);
    }
    return problems;
}

std::vector<KernelInfo> tested_kernels() {
    std::vector<KernelInfo> tested;
    for (const KernelInfo &kernel : kernels()) {
        const bool is_of_training = kernel.operation == "core_training" || kernel.operation == "core_gradients" ||
                                    kernel.operation == "bias_gradients";
        if (is_of_training && runs_here(kernel)) {
            tested.push_back(kernel);
        }
    }
    return tested;
}

}  // namespace

TEST_CASE("every kernel of a mean that is trained matches the reference", "[kernels][training]") {
    for (const KernelInfo &kernel : tested_kernels()) {
        DYNAMIC_SECTION(kernel.id) {
            std::vector<Problem> problems = quick_problems(training_problems());
            for (const Problem &problem : smallest_problems(kernel)) {
                problems.push_back(problem);
            }
            std::size_t checked = 0;
            for (const Problem &problem : problems) {
                if (serves(kernel, problem)) {
                    check_step(CoreTraining(problem.config, {kernel.id}), problem, allowed_tolerances(kernel));
                    ++checked;
                }
            }
            CHECK(checked > 0);
        }
    }
}

TEST_CASE("causal windows and sums match the reference in training, in whichever way they go", "[training]") {
    for (const Problem &problem : causal_problems()) {
        check_step(CoreTraining(problem.config), problem);
    }
}

TEST_CASE("causal targets touch no bias and no source behind them", "[training]") {
    constexpr std::int64_t B = 1, n = 90, P = 20, seen = 70;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const LayerForm &form : {aft_causal_local, aft_causal_simple}) {
        INFO(name(form));
        const Problem problem{{form, 0, P, n, form.has_window() ? 9 : 0}, {B, n}};
        const CoreTraining training(problem.config);
        Weights weights = make_weights(problem);
        const Step step = step_of(training, problem, weights);
        for (std::int64_t i = 0; i < n && form.has_positions(); ++i) {
            std::fill_n(&weights.position_bias[i * n + i] + 1, n - 1 - i, nan);
        }
        const Step other = step_of(training, problem, weights);
        for (const auto &[a, b] : {std::pair(&step.y, &other.y),
                                   {&step.query, &other.query},
                                   {&step.key, &other.key},
                                   {&step.value, &other.value},
                                   {&step.position_bias, &other.position_bias}}) {
            CHECK(same_bits(*a, *b));
        }

        StepTensors tensors = tensors_of(problem, training.saved_size(problem.shape));
        std::fill(tensors.call.key.begin() + seen * P, tensors.call.key.end(), nan);
        training.forward(parameters_of(problem, weights), tensors.call.core, {tensors.results.y.data(), {B, n, P}},
                         {tensors.saved.data(), {static_cast<std::int64_t>(tensors.saved.size())}});
        const Answer &answer = answer_to(problem);
        for (std::int64_t i = 0; i < n * P; ++i) {
            const bool is_right = std::abs(tensors.results.y[i] - answer.y.output[i]) <= answer.y.tolerance[i];
            CHECK(is_right == (i < seen * P));
        }
    }
}

TEST_CASE("a step of a causal window takes memory in proportion to its targets", "[training]") {
    const auto bytes_of = [](const LayerForm &form, std::int64_t n) {
        const Problem problem{{form, 0, 16, n, form.has_window() ? 4 : 0}, {1, n}};
        const CoreTraining training(problem.config);
        step_of(training, problem);
        return static_cast<double>(training.scratch_bytes());
    };
    for (const LayerForm &form : {aft_causal_local, aft_causal_simple}) {
        INFO(name(form));
        const ThreadCount during(1);
        CHECK(bytes_of(form, 2000) <= 2.2 * bytes_of(form, 1000));
    }
}

TEST_CASE("a step of a mean in parts has the bits of one step, but for a bias that samples share",
          "[training][parts]") {
    int split = 0;
    for (const Problem &problem : quick_problems(training_problems())) {
        INFO(describe(problem));
        const CoreTraining training(problem.config);
        const Step whole = step_of(training, problem);
        const auto check = [&](const Step &step) {
            check_same_samples(step, whole);
            CHECK(error_in_tolerances(answer_to(problem).gradients.position_bias, step.position_bias) <= 1);
            if (problem.bias_per_sample) {
                CHECK(same_bits(step.position_bias, whole.position_bias));
            }
        };
        const std::int64_t lowest = lowest_limit([&] { return step_of(training, problem); }, check);
        split += lowest < problem.shape.batch * problem.shape.seq * problem.config.projected ? 1 : 0;
    }
    CHECK(split > 20);
}

TEST_CASE("the gradient of a query is finite where dy times the mean isn't", "[training]") {
    constexpr std::int64_t n = 40, P = 20;  // and one source
    constexpr float largest = 3e38f;
    const double sigmoid = 1 / (1 + std::exp(-0.5)), expected = 4.0 * largest * sigmoid * (1 - sigmoid);
    for (const LayerForm &form : {aft_simple, aft_full, aft_local}) {
        INFO(name(form));
        const CoreTraining training({form, 0, P, n, form.has_window() ? 3 : 0});
        const std::vector<float> query(n * P, 0.5f), key(P), value(P, largest), bias(n * n), dy(n * P, 4.0f);
        std::vector<float> y(n * P), dq(n * P), saved(training.saved_size({1, n}));
        const std::array<std::int64_t, 3> extents = {1, n, P}, of_sources = {1, 1, P};
        const CoreCall call{{query.data(), extents}, {key.data(), of_sources}, {value.data(), of_sources}, {}};
        CoreParameters parameters;
        if (form.has_positions()) {
            parameters.position_bias = {bias.data(), {n, n}};
        }
        const TensorView<float, 1> kept(saved.data(), {static_cast<std::int64_t>(saved.size())});
        training.forward(parameters, call, {y.data(), extents}, kept);
        CoreGradients gradients;
        gradients.query = {dq.data(), extents};
        training.backward(parameters, call, {dy.data(), extents}, {kept.data, kept.extents}, gradients);
        CHECK(std::all_of(dq.begin(), dq.end(), [=](float v) { return std::abs(v / expected - 1) < 1e-5; }));
    }
}

TEST_CASE("a mean that is trained has the bits of the same mean that isn't", "[training]") {
    for (const Problem &problem : training_problems()) {
        // Other sums, of a state.
        if (is_running(problem.config.form) && problem.mask <= Mask::sources) {
            continue;
        }
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        const CallTensors call = make_call(problem);
        const std::vector<float> y = step_of(CoreTraining(problem.config), problem).y;
        std::vector<float> expected(y.size());
        Core(problem.config, weights).forward(call.core, {expected.data(), targets_of(problem)});
        CHECK(same_bits(y, expected));
    }
}

TEST_CASE("gradients have the same bits on any number of threads", "[training][determinism]") {
    for (const KernelInfo &kernel : tested_kernels()) {
        INFO(kernel.id);
        for (const Problem &problem : smallest_problems(kernel)) {
            INFO(describe(problem));
            const CoreTraining training(problem.config, {kernel.id});
            const auto on_threads = [&](int threads) {
                const ThreadCount during(threads);
                return step_of(training, problem);
            };
            const Step step = on_threads(1);
            for (const int threads : {2, 4, 2, 4}) {
                const Step again = on_threads(threads);
                CHECK(again.y == step.y);
                CHECK(again.query == step.query);
                CHECK(again.key == step.key);
                CHECK(again.value == step.value);
                CHECK(again.position_bias == step.position_bias);
            }
        }
    }
}
