#include "faults.h"
#include "layer_steps.h"
#include "reference/gradients.h"
#include "reference/problem.h"
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
    std::vector<float> dy = gradient_of_result(problem, call.layer);
    std::replace_if(dy.begin(), dy.end(), [](float value) { return std::isnan(value); }, 0.0f);
    Answer answer{reference_layer(problem.config, weights, call.layer),
                  reference_gradients(problem.config, weights, call.layer, dy)};
    return answers.emplace(key, std::move(answer)).first->second;
}

void check_step(const LayerTraining &training, const Problem &problem, double allowed = 1) {
    INFO(describe(problem));
    const LayerStep step = step_of(training, problem, make_weights(problem));
    const Answer &answer = answer_to(problem);
    CHECK(error_in_tolerances(answer.y, step.y) <= allowed);
    std::size_t compared = 0;
    for (const auto &[name, reference] : answer.gradients.all()) {
        const auto found = step.gradients.find(name);
        if (found != step.gradients.end()) {
            INFO(name);
            CHECK(error_in_tolerances(*reference, found->second) <= allowed);
            ++compared;
        }
    }
    CHECK(compared == step.gradients.size());
}

}  // namespace

TEST_CASE("a layer in training matches the reference in every form, with every gate", "[training]") {
    for (const Problem &problem : layer_training_problems()) {
        check_step(LayerTraining(problem.config), problem);
    }
}

TEST_CASE("a step of a layer in parts has the bits of one step, but for sums over the samples", "[training][parts]") {
    int split = 0;
    for (const Problem &problem : layer_training_problems()) {
        INFO(describe(problem));
        const LayerTraining training(problem.config);
        const Weights weights = make_weights(problem);
        const LayerStep whole = step_of(training, problem, weights);
        const auto check = [&](const LayerStep &step) {
            CHECK(same_bits(step.y, whole.y));
            for (const auto &[name, reference] : answer_to(problem).gradients.all()) {
                const std::string input = name;
                const auto found = step.gradients.find(input);
                if (found == step.gradients.end()) {
                    continue;
                }
                INFO(input);
                CHECK(error_in_tolerances(*reference, found->second) <= 1);
                if (input == "query" || input == "key" || input == "value") {
                    CHECK(same_bits(found->second, whole.gradients.at(input)));
                }
            }
        };
        const std::int64_t lowest = lowest_limit([&] { return step_of(training, problem, weights); }, check);
        // The gradients of query, key, value and gated mean are half of what is saved at least, and one tensor.
        split += lowest < training.saved_size(make_call(problem).layer) / 2 ? 1 : 0;
    }
    CHECK(split > 20);
}

namespace {

bool is_of_projection(const KernelInfo &kernel) {
    return kernel.operation == "linear_training" || kernel.operation == "linear_gradients";
}

/// Uneven extents, above the smallest of the kernel.
Problem problem_of(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    const std::int64_t n = std::max<std::int64_t>(m.seq, 20) + 1;
    // Each of both is the number of inputs of some projection, and the number of outputs of another.
    const std::int64_t channels = std::max<std::int64_t>({m.hidden, m.projected, 40});
    return {{aft_simple, channels + 1, channels + 3, n}, {m.batch + 1, n}};
}

constexpr std::int64_t B = 2, n = 3, H = 6, P = 5, S = 4;

/// A call of `full`, with its results.
struct Tensors {
    Weights weights;
    std::vector<float> x = std::vector<float>(B * n * H, 0.5f), dy = x, y = std::vector<float>(B * n * H, -1.0f),
                       saved = std::vector<float>(8 * B * n * P, -1.0f),
                       gradient = std::vector<float>(B * n * H, -1.0f);
    LayerParameters parameters;

    Tensors() : weights(make_weights({config(), {B, n}})), parameters(parameters_of(config(), weights)) {}

    static LayerConfig config() {
        return {aft_full, H, P, S};
    }
    LayerCall call() const {
        LayerCall result;
        result.query = {x.data(), {B, n, H}};
        return result;
    }
    bool is_untouched() const {
        const auto is_as_before = [](float value) { return value == -1; };
        return std::all_of(y.begin(), y.end(), is_as_before) && std::all_of(saved.begin(), saved.end(), is_as_before) &&
               std::all_of(gradient.begin(), gradient.end(), is_as_before);
    }
};

}  // namespace

TEST_CASE("every kernel of a projection in training matches the reference", "[kernels][training]") {
    for (const KernelInfo &kernel : kernels()) {
        if (is_of_projection(kernel) && runs_here(kernel)) {
            DYNAMIC_SECTION(kernel.id) {
                const Problem problem = problem_of(kernel);
                check_step(LayerTraining(problem.config, {kernel.id}), problem, allowed_tolerances(kernel));
            }
        }
    }
}

TEST_CASE("a layer's gradients have the same bits on any number of threads", "[training][determinism]") {
    for (const KernelInfo &kernel : kernels()) {
        if (is_of_projection(kernel) && runs_here(kernel)) {
            INFO(kernel.id);
            const Problem problem = problem_of(kernel);
            const LayerTraining training(problem.config, {kernel.id});
            const auto on_threads = [&](int threads) {
                const ThreadCount during(threads);
                return step_of(training, problem, make_weights(problem));
            };
            const LayerStep step = on_threads(1);
            for (const int threads : {2, 4}) {
                const LayerStep again = on_threads(threads);
                CHECK(again.y == step.y);
                CHECK(again.gradients == step.gradients);
            }
        }
    }
}

TEST_CASE("each gradient of a layer alone is the one among all", "[training]") {
    const Problem problem{{aft_full, 12, 10, 9}, {2, 9}};
    const Weights weights = make_weights(problem);
    const LayerTraining training(problem.config);
    const LayerStep all = step_of(training, problem, weights);
    for (const auto &[name, expected] : all.gradients) {
        INFO(name);
        LayerStepTensors tensors(problem, weights);
        const LayerCall &call = tensors.call.layer;
        const std::vector<float> &values = tensors.results.gradients.at(name);
        LayerGradients one = tensors.gradients;
        for (auto view : {&LayerGradients::query, &LayerGradients::key, &LayerGradients::value}) {
            one.*view = (one.*view).data == values.data() ? one.*view : TensorView<float, 3>();
        }
        for (auto view : {&LayerGradients::query_weight, &LayerGradients::key_weight, &LayerGradients::value_weight,
                          &LayerGradients::project_weight, &LayerGradients::position_bias}) {
            one.*view = (one.*view).data == values.data() ? one.*view : TensorView<float, 2>();
        }
        for (auto view : {&LayerGradients::query_bias, &LayerGradients::key_bias, &LayerGradients::value_bias,
                          &LayerGradients::project_bias}) {
            one.*view = (one.*view).data == values.data() ? one.*view : TensorView<float, 1>();
        }
        const std::int64_t saved_size = training.saved_size(call);
        tensors.saved.resize(static_cast<std::size_t>(saved_size));
        const TensorView<float, 1> saved(tensors.saved.data(), {saved_size});
        training.forward(tensors.parameters, call, {tensors.results.y.data(), call.query.extents}, saved);
        training.backward(tensors.parameters, call, {tensors.dy.data(), call.query.extents}, saved, one);
        CHECK(values == expected);
        for (const auto &[other, untouched] : tensors.results.gradients) {
            if (other != name) {
                CHECK(std::all_of(untouched.begin(), untouched.end(), [](float value) { return std::isnan(value); }));
            }
        }
    }
}

TEST_CASE("a layer in training needs no biases, and takes rows of parameters that lie apart", "[training]") {
    Problem problem{{aft_full, 12, 10, 9}, {2, 9}};
    Weights weights = make_weights(problem), zeros = weights;
    for (std::vector<float> Weights::*bias :
         {&Weights::query_bias, &Weights::key_bias, &Weights::value_bias, &Weights::project_bias}) {
        std::fill((zeros.*bias).begin(), (zeros.*bias).end(), 0.0f);
        (weights.*bias).clear();
    }
    const LayerTraining training(problem.config);
    const LayerStep without = step_of(training, problem, weights), expected = step_of(training, problem, zeros);
    CHECK(without.y == expected.y);
    CHECK(without.gradients.size() == expected.gradients.size() - 4);
    for (const auto &[name, values] : without.gradients) {
        CHECK(values == expected.gradients.at(name));
    }

    const CallTensors tensors = make_call(problem);
    LayerParameters parameters = parameters_of(problem.config, weights);
    std::vector<float> wide(10 * 20, not_written);
    for (std::int64_t row = 0; row < 10; ++row) {
        std::copy_n(weights.key_weight.begin() + row * 12, 12, wide.begin() + row * 20);
    }
    parameters.key_weight = {wide.data(), {10, 12}, {20, 1}};
    std::vector<float> y(2 * 9 * 12), saved(static_cast<std::size_t>(training.saved_size(tensors.layer)));
    const TensorView<float, 1> all_saved(saved.data(), {static_cast<std::int64_t>(saved.size())});
    training.forward(parameters, tensors.layer, {y.data(), {2, 9, 12}}, all_saved);
    CHECK(y == expected.y);
    std::vector<float> gradient(10 * 20, not_written);
    LayerGradients gradients;
    gradients.key_weight = {gradient.data(), {10, 12}, {20, 1}};
    const std::vector<float> dy = gradient_of_result(problem, tensors.layer);
    training.backward(parameters, tensors.layer, {dy.data(), {2, 9, 12}}, all_saved, gradients);
    for (std::int64_t i = 0; i < 10 * 20; ++i) {
        const float value = gradient[static_cast<std::size_t>(i)];
        CHECK((i % 20 < 12
                   ? value == expected.gradients.at("key_weight")[static_cast<std::size_t>(i / 20 * 12 + i % 20)]
                   : std::isnan(value)));
    }
}

TEST_CASE("a step of a layer with wrong tensors is refused before anything is written", "[training]") {
    const LayerTraining training(Tensors::config());
    Tensors tensors;
    const TensorView<float, 3> y(tensors.y.data(), {B, n, H});
    const TensorView<float, 1> saved(tensors.saved.data(), {8 * B * n * P});
    const auto refused_forward = [&](const LayerParameters &parameters, const LayerCall &call,
                                     TensorView<float, 3> result, TensorView<float, 1> kept,
                                     const std::string &message) {
        CHECK_THROWS_MATCHES(training.forward(parameters, call, result, kept), ShapeError, Message(message));
    };
    CHECK(training.saved_size(tensors.call()) == 8 * B * n * P);
    refused_forward(tensors.parameters, tensors.call(), y, {tensors.saved.data(), {7}},
                    "saved is [7], must be [240], without gaps");
    refused_forward(tensors.parameters, tensors.call(), {tensors.saved.data(), {B, n, H}}, saved,
                    "saved overlaps y in memory");
    LayerParameters wrong = tensors.parameters;
    wrong.key_weight.extents[0] = 4;
    refused_forward(wrong, tensors.call(), y, saved, "key_weight is [4, 6], must be [5, 6]");
    wrong = tensors.parameters;
    wrong.value_weight.data = nullptr;
    refused_forward(wrong, tensors.call(), y, saved, "value_weight: data is null");
    wrong = tensors.parameters;
    wrong.query_weight.strides[0] = 5;
    refused_forward(wrong, tensors.call(), y, saved,
                    "query_weight: the stride of the rows is 5 and that of the columns 1, must be at least 6 and 1");
    wrong = tensors.parameters;
    wrong.key_bias.extents[0] = 6;
    refused_forward(wrong, tensors.call(), y, saved, "key_bias is [6], must be [5]");
    wrong = tensors.parameters;
    wrong.project_weight = {};
    refused_forward(wrong, tensors.call(), y, saved, "project_weight isn't given, but hidden is 6 and projected 5");
    wrong = tensors.parameters;
    wrong.position_bias.extents = {3, 4};
    refused_forward(wrong, tensors.call(), y, saved, "position_bias is [3, 4], must be [4, 4]");
    LayerCall call = tensors.call();
    call.query.extents[2] = 5;
    refused_forward(tensors.parameters, call, y, saved, "x: hidden is 5, must be 6");

    const TensorView<const float, 3> dy(tensors.dy.data(), {B, n, H});
    const auto refused_backward = [&](const LayerParameters &parameters, const TensorView<const float, 3> &of_y,
                                      const LayerGradients &gradients, const std::string &message) {
        CHECK_THROWS_MATCHES(training.backward(parameters, tensors.call(), of_y, saved, gradients), ShapeError,
                             Message(message));
    };
    LayerGradients gradients;
    gradients.query = {tensors.gradient.data(), {B, n, H}};
    refused_backward(tensors.parameters, {tensors.dy.data(), {B, 2, H}}, gradients,
                     "dy is [2, 2, 6], must be [2, 3, 6] like x");
    LayerGradients other = gradients;
    other.key = gradients.query;
    refused_backward(tensors.parameters, dy, other, "dkey is given, but key isn't");
    other = {};
    other.key_weight = {tensors.gradient.data(), {4, 6}};
    refused_backward(tensors.parameters, dy, other, "dkey_weight is [4, 6], must be [5, 6]");
    other = gradients;
    other.project_bias = {tensors.gradient.data(), {H}};
    refused_backward(tensors.parameters, dy, other, "dquery overlaps dproject_bias in memory");
    other = {};
    other.given_bias = {tensors.gradient.data(), {B, n, n}};
    refused_backward(tensors.parameters, dy, other, "dgiven_bias is given, but layer full takes no bias");
    CHECK(tensors.is_untouched());

    for (const LayerForm &form : {aft_conv, aft_wkv}) {
        CHECK_THROWS_AS(LayerTraining({form, 4, 4, 8, form.has_window() ? 3 : 0}), ConfigError);
    }
    CHECK_THROWS_AS(LayerTraining(Tensors::config(), {"aft_core_given_cpu_packed"}), ConfigError);
}

TEST_CASE("a layer in training without rows has the gradients 0", "[training]") {
    const LayerTraining training(Tensors::config());
    Tensors tensors;
    LayerCall call = tensors.call();
    std::vector<float> weight(P * H, not_written), bias(S * S, not_written);
    LayerGradients gradients;
    gradients.key_weight = {weight.data(), {P, H}};
    gradients.position_bias = {bias.data(), {S, S}};
    const std::vector<float> no_weight(P * H, 0.0f), no_bias(S * S, 0.0f);
    const auto check_zeros = [&] {
        CHECK(weight == no_weight);
        CHECK(bias == no_bias);
    };
    call.query.extents[1] = 0;
    training.backward(tensors.parameters, call, {nullptr, {B, 0, H}}, {nullptr, {0}}, gradients);
    check_zeros();

    // Targets, but no source.
    call = tensors.call();
    call.key = {nullptr, {B, 0, H}};
    const TensorView<float, 1> saved(tensors.saved.data(), {training.saved_size(call)});
    training.forward(tensors.parameters, call, {tensors.y.data(), {B, n, H}}, saved);
    std::fill(weight.begin(), weight.end(), not_written);
    std::fill(bias.begin(), bias.end(), not_written);
    training.backward(tensors.parameters, call, {tensors.dy.data(), {B, n, H}}, saved, gradients);
    check_zeros();
}

TEST_CASE("the second step of a layer in training allocates nothing", "[training]") {
    const LayerTraining training(Tensors::config());
    Tensors tensors;
    const LayerCall call = tensors.call();
    std::vector<float> weight(P * H);
    LayerGradients gradients;
    gradients.query = {tensors.gradient.data(), {B, n, H}};
    gradients.value_weight = {weight.data(), {P, H}};
    const TensorView<float, 1> saved(tensors.saved.data(), {training.saved_size(call)});
    const auto step = [&] {
        training.forward(tensors.parameters, call, {tensors.y.data(), {B, n, H}}, saved);
        training.backward(tensors.parameters, call, {tensors.dy.data(), {B, n, H}}, saved, gradients);
    };
    step();
    const std::int64_t before = allocations();
    for (int i = 0; i < 4; ++i) {
        step();
    }
    CHECK(allocations() == before);
    CHECK(training.scratch_bytes() > 0);
}
