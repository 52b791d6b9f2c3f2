#include "faults.h"
#include "reference/gradients.h"
#include "reference/problem.h"
#include "reference/random.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace aft;
using Catch::Matchers::Message;

namespace {

CoreParameters parameters_of(const Problem &problem, const Weights &weights) {
    const std::int64_t S = problem.config.max_seq_len;
    CoreParameters parameters;
    if (problem.config.form.has_positions()) {
        parameters.position_bias = {weights.position_bias.data(), {S, S}};
    }
    return parameters;
}

std::size_t size_of(const TensorView<const float, 3> &view) {
    return static_cast<std::size_t>(view.extents[0] * view.extents[1] * view.extents[2]);
}

std::array<std::int64_t, 3> targets_of(const Problem &problem) {
    return {problem.shape.batch, problem.shape.seq, problem.config.projected};
}

/// dL/dy in one row after the other. Rows without a result are NaN, which nothing may read.
std::vector<float> gradient_of_result(const Problem &problem, const CallTensors &call) {
    const auto [B, n, P] = targets_of(problem);
    std::vector<float> dy = Random(problem.seed + 1000).normals(static_cast<std::size_t>(B * n * P), 1);
    const TensorView<const std::int64_t, 1> &lengths = call.core.sight.lengths;
    if (problem.config.form.is_causal() && lengths.data && call.core.key.extents[1] == n) {
        for (std::int64_t b = 0; b < B; ++b) {
            std::fill(dy.begin() + (b * n + lengths.data[b]) * P, dy.begin() + (b + 1) * n * P,
                      std::numeric_limits<float>::quiet_NaN());
        }
    }
    return dy;
}

struct Step {
    std::vector<float> y, query, key, value;
};

/// One step of training, whose results are NaN before.
Step step_of(const CoreTraining &training, const Problem &problem) {
    const Weights weights = make_weights(problem);
    const CallTensors call = make_call(problem);
    const CoreParameters parameters = parameters_of(problem, weights);
    const std::array<std::int64_t, 3> targets = targets_of(problem);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::size_t size = static_cast<std::size_t>(targets[0] * targets[1] * targets[2]);
    const bool has_query = problem.config.form.has_query();
    Step step{std::vector<float>(size, nan), std::vector<float>(has_query ? size : 0, nan),
              std::vector<float>(size_of(call.core.key), nan), std::vector<float>(size_of(call.core.key), nan)};
    std::vector<float> saved(static_cast<std::size_t>(training.saved_size(problem.shape, call.core.sight)), nan);
    const auto saved_size = static_cast<std::int64_t>(saved.size());
    training.forward(parameters, call.core, {step.y.data(), targets}, {saved.data(), {saved_size}});
    const std::vector<float> dy = gradient_of_result(problem, call);
    CoreGradients gradients;
    if (has_query) {
        gradients.query = {step.query.data(), targets};
    }
    gradients.key = {step.key.data(), call.core.key.extents};
    gradients.value = {step.value.data(), call.core.key.extents};
    training.backward(parameters, call.core, {dy.data(), targets}, {saved.data(), {saved_size}}, gradients);
    return step;
}

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
    return answers
        .emplace(key, Answer{reference_core(problem.config, weights, call.core),
                             reference_core_gradients(problem.config, weights, call.core, dy)})
        .first->second;
}

void check_step(const CoreTraining &training, const Problem &problem) {
    INFO(describe(problem));
    const Step step = step_of(training, problem);
    const Answer &answer = answer_to(problem);
    const auto check = [](const char *name, const Reference &reference, const std::vector<float> &result) {
        INFO(name);
        CHECK(error_in_tolerances(reference, result) <= 1);
    };
    check("y", answer.y, step.y);
    if (problem.config.form.has_query()) {
        check("query", answer.gradients.query, step.query);
    }
    check("key", answer.gradients.key, step.key);
    check("value", answer.gradients.value, step.value);
}

/// Problems of every form with gradients, without the projections.
std::vector<Problem> training_problems() {
    std::vector<Problem> problems;
    for (const std::vector<Problem> &some : {core_problems(), scan_problems()}) {
        for (const Problem &problem : some) {
            if (problem.config.hidden == 0 && !problem.config.form.varies_by_channel() && problem.piece == 0) {
                problems.push_back(problem);
            }
        }
    }
    return problems;
}

/// Whether a kernel of `core_training` and `core_gradients` computes a problem when it is named.
bool serves(const KernelInfo &kernel, const Problem &problem) {
    const bool of_pairs = kernel.layer->takes_bias();
    const LayerForm &form = problem.config.form;
    const MinimumExtents &m = kernel.minimum;
    return (of_pairs || (form.bias == PositionBias::none && !form.is_causal() && problem.mask <= Mask::sources)) &&
           std::min(problem.shape.seq, source_count(problem)) >= m.seq && problem.shape.batch >= m.batch &&
           problem.config.projected >= m.projected;
}

/// With all that a call may have, on uneven extents of 3 samples or more.
Problem smallest_problem(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    const std::int64_t n = std::max<std::int64_t>(m.seq, 40) + 1, P = std::max<std::int64_t>(m.projected, 20) + 1;
    Problem problem{{*kernel.layer, 0, P, n}, {m.batch + 2, n}};
    problem.has_lengths = true;
    problem.mask = kernel.layer->takes_bias() ? Mask::pairs_of_samples : Mask::sources;
    problem.bias_per_sample = kernel.layer->takes_bias();
    return problem;
}

std::vector<KernelInfo> tested_kernels() {
    std::vector<KernelInfo> tested;
    for (const KernelInfo &kernel : kernels()) {
        if ((kernel.operation == "core_training" || kernel.operation == "core_gradients") && runs_here(kernel)) {
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
            problems.push_back(smallest_problem(kernel));
            std::size_t checked = 0;
            for (const Problem &problem : problems) {
                if (serves(kernel, problem)) {
                    check_step(CoreTraining(problem.config, {kernel.id}), problem);
                    ++checked;
                }
            }
            CHECK(checked > 0);
        }
    }
}

TEST_CASE("gradients have the same bits on any number of threads", "[training][determinism]") {
    for (const KernelInfo &kernel : tested_kernels()) {
        INFO(kernel.id);
        const Problem problem = smallest_problem(kernel);
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
        }
    }
}

namespace {

constexpr std::int64_t B = 2, n = 3, m = 4, P = 5;

/// A call of `given`, with its results.
struct Tensors {
    std::vector<float> query = std::vector<float>(B * n * P, 0.25f), key = std::vector<float>(B * m * P, 0.5f),
                       value = std::vector<float>(B * m * P, 2.0f), bias = std::vector<float>(B * n * m, -1.0f),
                       y = std::vector<float>(B * n * P, -1.0f), saved = std::vector<float>(4 * B * n * P, -1.0f),
                       dy = std::vector<float>(B * n * P, 1.0f), gradient = std::vector<float>(B * m * P, -1.0f);

    CoreCall call() const {
        CoreCall result;
        result.query = {query.data(), {B, n, P}};
        result.key = {key.data(), {B, m, P}};
        result.value = {value.data(), {B, m, P}};
        result.sight.position_bias = {bias.data(), {B, n, m}};
        return result;
    }
    TensorView<float, 1> all_saved() {
        return {saved.data(), {static_cast<std::int64_t>(saved.size())}};
    }
    bool is_untouched() const {
        const auto is_as_before = [](float value) { return value == -1; };
        return std::all_of(y.begin(), y.end(), is_as_before) && std::all_of(saved.begin(), saved.end(), is_as_before) &&
               std::all_of(gradient.begin(), gradient.end(), is_as_before);
    }
};

const LayerConfig small_config{aft_given, 0, P, 10};

}  // namespace

TEST_CASE("a step of training with wrong tensors is refused before anything is written", "[training]") {
    const CoreTraining training(small_config);
    Tensors tensors;
    const TensorView<float, 3> y(tensors.y.data(), {B, n, P});
    const TensorView<const float, 3> dy(tensors.dy.data(), {B, n, P});
    const CoreCall call = tensors.call();
    CoreGradients gradients;
    gradients.key = {tensors.gradient.data(), {B, m, P}};
    const auto refused_forward = [&](const CoreParameters &parameters, const CoreCall &wrong,
                                     TensorView<float, 3> result, TensorView<float, 1> saved,
                                     const std::string &message) {
        CHECK_THROWS_MATCHES(training.forward(parameters, wrong, result, saved), ShapeError, Message(message));
    };
    const auto refused_backward = [&](const CoreCall &wrong, TensorView<const float, 3> gradient,
                                      const CoreGradients &results, const std::string &message) {
        CHECK_THROWS_MATCHES(training.backward({}, wrong, gradient, tensors.all_saved(), results), ShapeError,
                             Message(message));
    };
    const TensorView<float, 1> saved = tensors.all_saved();
    refused_forward({}, call, y, {tensors.saved.data(), {7}}, "saved is [7], must be [120], without gaps");
    refused_forward({}, call, y, {tensors.y.data(), {120}}, "saved overlaps y in memory");
    CoreParameters parameters;
    parameters.position_bias = {tensors.bias.data(), {2, 2}};
    refused_forward(parameters, call, y, saved, "position_bias is given, but layer given has no such parameter");
    CoreCall wrong = call;
    wrong.value.extents[1] = 3;
    refused_forward({}, wrong, y, saved, "value is [2, 3, 5], must be [2, 4, 5] like key");
    refused_backward(wrong, dy, gradients, "value is [2, 3, 5], must be [2, 4, 5] like key");
    refused_backward(call, {tensors.dy.data(), {B, 2, P}}, gradients, "dy is [2, 2, 5], must be [2, 3, 5] like query");
    CoreGradients other = gradients;
    other.key.extents[1] = 2;
    refused_backward(call, dy, other, "dkey is [2, 2, 5], must be [2, 4, 5] like key");
    other = gradients;
    other.value = gradients.key;
    refused_backward(call, dy, other, "dkey overlaps dvalue in memory");
    other = {};
    other.query = {tensors.y.data(), {B, n, P}};
    refused_backward(call, {tensors.y.data(), {B, n, P}}, other, "dquery overlaps dy in memory");
    CHECK(tensors.is_untouched());

    for (const LayerForm &form : {aft_conv, aft_wkv}) {
        CHECK_THROWS_AS(CoreTraining({form, 0, 4, 8, form.has_window() ? 3 : 0}), ConfigError);
    }
    CHECK_THROWS_AS(CoreTraining(small_config, {"aft_core_given_cpu_packed"}), ConfigError);
    const LayerConfig own{aft_full, 0, P, 10};
    CHECK_THROWS_MATCHES(CoreTraining(own).forward({}, call, y, saved), ShapeError,
                         Message("position_bias: must be [10, 10], with rows that are dense"));
}

TEST_CASE("gradients that nobody wants aren't written, and empty calls have none", "[training]") {
    const CoreTraining training(small_config);
    Tensors tensors;
    CoreCall call = tensors.call();
    const std::array<std::int64_t, 3> targets = {B, n, P};
    training.forward({}, call, {tensors.y.data(), targets}, tensors.all_saved());
    training.backward({}, call, {tensors.dy.data(), targets}, tensors.all_saved(), {});
    CoreGradients gradients;
    gradients.value = {tensors.gradient.data(), {B, m, P}};
    training.backward({}, call, {tensors.dy.data(), targets}, tensors.all_saved(), gradients);
    for (const float gradient : tensors.gradient) {
        CHECK(std::abs(gradient - 0.75f / (1 + std::exp(-0.25f))) < 1e-6f);  // three targets, of four equal sources
    }

    // Without a target, or a source.
    call.query.extents = {B, 0, P};
    call.sight.position_bias.extents = {B, 0, m};
    training.backward({}, call, {nullptr, {B, 0, P}}, {nullptr, {0}}, gradients);
    CHECK(tensors.gradient == std::vector<float>(B * m * P, 0.0f));
    call = tensors.call();
    call.key.extents[1] = call.value.extents[1] = 0;
    call.sight.position_bias = {};
    training.forward({}, call, {tensors.y.data(), targets}, tensors.all_saved());
    CHECK(tensors.y == std::vector<float>(B * n * P, 0.0f));
    gradients = {};
    std::vector<float> of_query(B * n * P, -1.0f);
    gradients.query = {of_query.data(), targets};
    training.backward({}, call, {tensors.dy.data(), targets}, tensors.all_saved(), gradients);
    CHECK(of_query == std::vector<float>(B * n * P, 0.0f));
}

TEST_CASE("the second step of training allocates nothing", "[training]") {
    const CoreTraining training(small_config);
    Tensors tensors;
    const CoreCall call = tensors.call();
    CoreGradients gradients;
    gradients.key = {tensors.gradient.data(), {B, m, P}};
    const auto step = [&] {
        training.forward({}, call, {tensors.y.data(), {B, n, P}}, tensors.all_saved());
        training.backward({}, call, {tensors.dy.data(), {B, n, P}}, tensors.all_saved(), gradients);
    };
    step();
    const std::int64_t before = allocations();
    for (int i = 0; i < 4; ++i) {
        step();
    }
    CHECK(allocations() == before);
    CHECK(training.scratch_bytes() > 0);
}
