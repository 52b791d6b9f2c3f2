#include "reference/problem.h"
#include "reference/reference.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace aft;
using Catch::Approx;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Problem small(LayerForm form, std::int64_t window = 0) {
    return {{form, 7, 5, 9, window}, {2, 8}};
}

std::vector<double> output(const Problem &problem, const Weights &weights) {
    return reference_forward(problem.config, weights, make_input(problem), problem.shape).output;
}

double largest_difference(const std::vector<double> &a, const std::vector<double> &b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(a[i] - b[i]));
    }
    return largest;
}

}  // namespace

TEST_CASE("the reference gives what a 2 x 2 case gives by hand", "[reference]") {
    // Weights exp(K + w): target 0: 1, 6, so A = (1 * 7 + 6 * 14) / 7; target 1: 3, 2, so A = (3 * 7 + 2 * 14) / 5.
    const std::vector<double> key = {0, std::log(2)}, value = {7, 14};
    const double w[2][2] = {{0, std::log(3)}, {std::log(3), 0}};
    const WeightedMean mean = reference_mean(key, value, 1, 2, [&](auto t, auto s, auto) { return w[t][s]; });
    CHECK(mean.value[0] == Approx(13).epsilon(1e-15));
    CHECK(mean.value[1] == Approx(9.8).epsilon(1e-15));
    CHECK(mean.magnitude[0] == Approx(13).epsilon(1e-15));
}

TEST_CASE("the reference projects, gates and adds biases as a 1 x 1 case does by hand", "[reference]") {
    const LayerConfig config{aft_full, 1, 1, 1, 0};
    Weights weights;
    weights.query_weight = {2}, weights.query_bias = {-1};
    weights.key_weight = {100};
    weights.value_weight = {3}, weights.value_bias = {0.5f};
    weights.project_weight = {-4}, weights.project_bias = {10};
    weights.position_bias = {1000};
    // One source has all the weight: y = -4 sigmoid(2 x - 1) (3 x + 0.5) + 10 at x = 2.
    const Reference reference = reference_forward(config, weights, {2}, {1, 1});
    const double gate = 1 / (1 + std::exp(-3.0));
    CHECK(reference.output[0] == Approx(10 - 4 * 6.5 * gate).epsilon(1e-15));
    // The value sums terms of 6 + 0.5, the query 4 + 1, and the exponent is 200 + 1000.
    const double uncertain = gate * (6.5 + 6.5 * 1200) + gate * (1 - gate) * 6.5 * 5;
    const double epsilon = std::numeric_limits<float>::epsilon();
    CHECK(reference.tolerance[0] == Approx(4 * epsilon * (4 * uncertain + 4 * gate * 6.5 + 10)).epsilon(1e-12));
}

TEST_CASE("with one position the reference gives the gated value whatever key and bias are", "[reference]") {
    const std::vector<double> value = {3, -4};
    const WeightedMean mean = reference_mean({800, -800}, value, 2, 1, [](auto, auto, auto) { return -900; });
    CHECK(mean.value == value);
    CHECK(mean.magnitude == std::vector<double>{3, 4});
}

TEST_CASE("the reference ignores masked sources and gives 0 where all are masked", "[reference]") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto bias = [](auto target, auto source, auto) { return target == 1 || source == 1 ? -infinity : 0; };
    const WeightedMean mean = reference_mean({0, nan, -infinity}, {5, nan, nan}, 1, 2, bias);
    CHECK(mean.value == std::vector<double>{5, 0});
}

TEST_CASE("the reference gives what each form is by hand in three positions", "[reference]") {
    // Keys ln 1, ln 2, ln 4 and values 1, 10, 100, so that a mean is a quotient of small numbers.
    const std::vector<float> key = {0, std::log(2.0f), std::log(4.0f)}, value = {1, 10, 100};
    const float log3 = std::log(3.0f);
    CoreCall call;
    call.query = {nullptr, {1, 3, 1}};
    call.key = {key.data(), {1, 3, 1}};
    call.value = {value.data(), {1, 3, 1}};
    const auto check = [&](LayerForm form, const Weights &weights, const std::vector<double> &expected,
                           std::int64_t window = 0) {
        form.gate = Gate::none;
        const std::vector<double> y = reference_core({form, 0, 1, 3, window}, weights, call).output;
        INFO(name(form));
        REQUIRE(y.size() == 3);
        for (int t = 0; t < 3; ++t) {
            CHECK(y[t] == Approx(expected[t]).epsilon(1e-6));
        }
    };
    Weights weights;
    const double all = 421.0 / 7;
    check(aft_simple, weights, {all, all, all});
    check(aft_causal_simple, weights, {1, 7, all});
    weights.position_bias = {log3, log3, 0, 0, log3, 0, 0, 0, log3};  // factors 3 3 1, 1 3 1, 1 1 3
    check(aft_full, weights, {(3 + 60 + 400) / 13.0, (1 + 60 + 400) / 11.0, (1 + 20 + 1200) / 15.0});
    check(aft_causal_full, weights, {1, 61 / 7.0, 1221 / 15.0});
    check(aft_local, weights, {(3 + 20 + 400) / 9.0, (1 + 60 + 400) / 11.0, 1221 / 15.0}, 1);
    check(aft_causal_local, weights, {1, 61 / 7.0, 1221 / 15.0}, 1);
    weights.position_bias = {0, log3};  // factor 3 at distance 1
    check(aft_conv, weights, {1, 23 / 5.0, (1 + 60 + 400) / 11.0}, 2);
    weights.position_bias.clear();
    weights.decay = {std::log(2.0f)}, weights.bonus = {log3};  // target 2: 1 / 2, 2, 3 * 4
    check(aft_wkv, weights, {1, 61 / 7.0, (0.5 + 20 + 1200) / 14.5});
    const std::vector<float> given = {log3, log3, 0, 0, log3, 0, 0, 0, log3};
    call.sight.position_bias = {given.data(), {1, 3, 3}};
    check(aft_causal_given, weights, {1, 61 / 7.0, 1221 / 15.0});
    call.sight.bias_scale = 2;  // factors of 9
    check(aft_given, weights, {(9 + 180 + 400) / 31.0, (1 + 180 + 400) / 23.0, (1 + 20 + 3600) / 39.0});
}

TEST_CASE("the reference applies each gate to the mean", "[reference]") {
    const float query = -0.75f, key = 3, value = -4;
    CoreCall call;
    call.query = {&query, {1, 1, 1}};
    call.key = {&key, {1, 1, 1}};
    call.value = {&value, {1, 1, 1}};
    const auto gated = [&](Gate gate) {
        LayerForm form = aft_simple;
        form.gate = gate;
        return reference_core({form, 0, 1, 1}, {}, call).output[0];
    };
    CHECK(gated(Gate::sigmoid) == Approx(-4 / (1 + std::exp(0.75))).epsilon(1e-15));
    CHECK(gated(Gate::tanh) == Approx(4 * std::tanh(0.75)).epsilon(1e-15));
    CHECK(gated(Gate::none) == -4);
    CHECK(gated(Gate::identity) == 3);
}

TEST_CASE("the reference reads no source that lengths and masks hide, and rows beyond a length are 0", "[reference]") {
    const float nan = std::nanf("");
    const std::vector<float> x = {1, 2, nan, nan};
    const std::vector<std::int64_t> lengths = {2};
    const bool mask[4][4] = {{true, false, true, true}, {false, false, true, true}, {true, true}, {true, true}};
    Weights weights;
    weights.query_weight = {0}, weights.key_weight = {0}, weights.value_weight = {3};
    weights.project_weight = {2}, weights.project_bias = {1};
    LayerCall call;
    call.query = {x.data(), {1, 4, 1}};
    call.sight.lengths = {lengths.data(), {1}};
    const LayerConfig config{aft_simple, 1, 1, 4};
    const Reference all = reference_layer(config, weights, call);
    CHECK(all.output == std::vector<double>{5.5, 5.5, 0, 0});  // 2 sigmoid(0) mean(3, 6) + 1
    CHECK(all.tolerance[2] == 0);
    call.sight.mask = {&mask[0][0], {1, 4, 4}};
    CHECK(reference_layer(config, weights, call).output == std::vector<double>{4, 1, 0, 0});
}

TEST_CASE("in the reference the last target of a causal form is at the last source", "[reference]") {
    const std::vector<float> key(5, 0.0f), value = {1, 2, 3, 4, 5};
    CoreCall call;
    call.query = {nullptr, {1, 2, 1}};
    call.key = {key.data(), {1, 5, 1}};
    call.value = {value.data(), {1, 5, 1}};
    LayerForm form = aft_causal_full;
    form.gate = Gate::none;
    Weights weights;
    weights.position_bias.assign(25, 0.0f);
    weights.position_bias[3 * 5 + 0] = -infinity;  // target 0 is at position 3
    CHECK(reference_core({form, 0, 1, 5}, weights, call).output == std::vector<double>{3, 3});
}

TEST_CASE("without position bias the reference gives the same for all three layers", "[reference]") {
    const Problem full = small(aft_full), local = small(aft_local, 0), simple = small(aft_simple);
    Weights weights = make_weights(full);
    const std::vector<double> of_local = output(local, weights);
    std::fill(weights.position_bias.begin(), weights.position_bias.end(), 0.0f);
    CHECK(largest_difference(output(full, weights), output(simple, weights)) == 0);
    CHECK(largest_difference(of_local, output(simple, weights)) == 0);
}

TEST_CASE("with a window over the whole sequence the reference of AFTLocal is AFTFull", "[reference]") {
    const Weights weights = make_weights(small(aft_full));
    const std::vector<double> full = output(small(aft_full), weights);
    CHECK(largest_difference(output(small(aft_local, 8), weights), full) == 0);
    CHECK(largest_difference(output(small(aft_local, 2000000000), weights), full) == 0);
    CHECK(largest_difference(output(small(aft_local, 7), weights), full) > 1e-6);
}

TEST_CASE("the reference computes some rows as it computes all", "[reference]") {
    const Problem problem = small(aft_local, 3);
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Reference all = reference_forward(problem.config, weights, x, problem.shape);
    const Reference some = reference_forward(problem.config, weights, x, problem.shape, {6, 1});
    const std::int64_t T = problem.shape.seq, H = problem.config.hidden;
    for (std::int64_t b = 0; b < problem.shape.batch; ++b) {
        for (std::int64_t h = 0; h < H; ++h) {
            CHECK(some.output[(2 * b + 0) * H + h] == all.output[(b * T + 6) * H + h]);
            CHECK(some.output[(2 * b + 1) * H + h] == all.output[(b * T + 1) * H + h]);
            CHECK(some.tolerance[2 * b * H + h] == all.tolerance[(b * T + 6) * H + h]);
        }
    }
}

TEST_CASE("a result that isn't a number, or has the wrong size, is infinitely wrong", "[reference]") {
    const Reference reference{{1, 2}, {0.5, 0.5}};
    CHECK(error_in_tolerances(reference, {1, 2}) == 0);
    CHECK(error_in_tolerances(reference, {1.25f, 1}) == 2);
    CHECK(error_in_tolerances(reference, {std::nanf(""), 2}) == infinity);
    CHECK(error_in_tolerances(reference, {1, std::nanf("")}) == infinity);
    CHECK(error_in_tolerances(reference, {1, std::numeric_limits<float>::infinity()}) == infinity);
    CHECK(error_in_tolerances(reference, {1}) == infinity);
}

TEST_CASE("plain float32 stays below half of the tolerance on every test problem", "[reference]") {
    for (const Problem &problem : test_problems()) {
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        const std::vector<float> x = make_input(problem);
        const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
        const std::vector<float> plain = plain_forward(problem.config, weights, x, problem.shape);
        CHECK(error_in_tolerances(reference, plain) <= 0.5);
    }
    for (const std::vector<Problem> &problems : {core_problems(), scan_problems(), layer_problems()}) {
        for (const Problem &problem : problems) {
            INFO(describe(problem));
            const Weights weights = make_weights(problem);
            const CallTensors call = make_call(problem);
            const bool is_layer = problem.config.hidden != 0;
            const Reference reference = is_layer ? reference_layer(problem.config, weights, call.layer)
                                                 : reference_core(problem.config, weights, call.core);
            const std::vector<float> plain = is_layer ? plain_layer(problem.config, weights, call.layer)
                                                      : plain_core(problem.config, weights, call.core);
            CHECK(error_in_tolerances(reference, plain) <= 0.5);
        }
    }
}

TEST_CASE("the tolerance is a few millionths of the output, so that a lost source shows", "[reference]") {
    const Problem problem{{aft_full, 64, 48, 200, 0}, {1, 200}};
    Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Reference right = reference_forward(problem.config, weights, x, problem.shape);
    for (std::int64_t t = 0; t < 200; ++t) {
        weights.position_bias[t * 200 + 123] = -std::numeric_limits<float>::infinity();
    }
    CHECK(error_in_tolerances(right, plain_forward(problem.config, weights, x, problem.shape)) > 100);
}
