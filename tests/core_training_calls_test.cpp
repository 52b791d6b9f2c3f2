#include "faults.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::Message;

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
