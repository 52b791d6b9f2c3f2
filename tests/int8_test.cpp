#include "reference/problem.h"
#include "reference/quantised.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::Message;

namespace {

const LayerOptions in_int8 = {"", "cpu", "int8"};

constexpr float largest = std::numeric_limits<float>::max(), not_a_number = std::numeric_limits<float>::quiet_NaN(),
                infinite = std::numeric_limits<float>::infinity();

void for_each_projection(const std::function<void(const KernelInfo &)> &check) {
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.operation == "linear" && kernel.storage == "int8" && runs_here(kernel)) {
            INFO(kernel.id);
            check(kernel);
        }
    }
}

/// The projection x W^T + b of rows, by a kernel: the gate is 1/2, and the mean of a sample of one source is its value.
std::vector<double> projected(const KernelInfo &kernel, const std::vector<float> &weight,
                              const std::vector<float> &bias, const std::vector<float> &x, std::int64_t inputs) {
    const std::int64_t outputs = static_cast<std::int64_t>(bias.size());
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / inputs;
    LayerConfig config{aft_simple, outputs, outputs, 1};
    config.value_hidden = inputs;
    Weights weights;
    weights.query_weight.resize(outputs * outputs);
    weights.key_weight.resize(outputs * outputs);
    weights.value_weight = weight;
    weights.value_bias = bias;
    const std::vector<float> zeros(rows * outputs);
    LayerCall call;
    call.query = call.key = {zeros.data(), {rows, 1, outputs}};
    call.value = {x.data(), {rows, 1, inputs}};
    std::vector<float> y(rows * outputs);
    Layer(config, weights, {kernel.id}).forward(call, {y.data(), {rows, 1, outputs}});
    std::vector<double> result(y.begin(), y.end());
    std::for_each(result.begin(), result.end(), [](double &value) { value *= 2; });
    return result;
}

/// Numbers of either sign, a few of which are far above the others.
std::vector<float> with_outliers(std::size_t count, std::uint32_t seed) {
    std::vector<float> values(count);
    for (float &value : values) {
        seed = seed * 1664525 + 1013904223;
        const float uniform = static_cast<float>(seed >> 8) / (1 << 23) - 1;
        value = uniform * uniform * uniform / (1.001f - std::abs(uniform));
    }
    return values;
}

double largest_magnitude(const float *values, std::int64_t count) {
    const auto smaller = [](float a, float b) { return std::abs(a) < std::abs(b); };
    return std::abs(*std::max_element(values, values + count, smaller));
}

double sum_of_magnitudes(const float *values, std::int64_t count) {
    double result = 0;
    std::for_each(values, values + count, [&](float value) { result += std::abs(value); });
    return result;
}

}  // namespace

TEST_CASE("a projection in int8 is off by half a step of its weights and inputs, and no more", "[int8][kernels]") {
    for_each_projection([](const KernelInfo &kernel) {
        for (const std::int64_t inputs : {1, 2, 7, 130, 515, 9001}) {
            for (const std::int64_t rows : {1, 2, 3, 16, 29}) {
                INFO(inputs << " inputs of " << rows << " rows");
                constexpr std::int64_t outputs = 37;
                const std::vector<float> weight = with_outliers(outputs * inputs, 1), bias = with_outliers(outputs, 2);
                const std::vector<float> x = with_outliers(rows * inputs, 3);
                const std::vector<double> y = projected(kernel, weight, bias, x, inputs);
                const std::vector<double> exact = reference_linear({x.begin(), x.end()}, weight, bias, inputs, outputs);
                double worst = 0;
                for (std::int64_t i = 0; i < rows * outputs; ++i) {
                    const float *of_x = &x[i / outputs * inputs], *of_w = &weight[i % outputs * inputs];
                    const double size = sum_of_magnitudes(of_x, inputs) * largest_magnitude(of_w, inputs) / 127 +
                                        sum_of_magnitudes(of_w, inputs) * largest_magnitude(of_x, inputs) / 32767;
                    // float32 rounds a share to a hundredth of a step, and the sums of chunks.
                    const double bound = 0.51 * size + 1e-6 * std::abs(bias[i % outputs]);
                    CHECK(std::abs(y[i] - exact[i]) <= bound);
                    worst = std::fmax(worst, std::abs(y[i] - exact[i]) / bound);
                }
                CHECK((inputs == 1 || worst > 1e-3));  // not in float32
            }
        }
    });
}

TEST_CASE("a projection in int8 is exact where weights and inputs are whole steps", "[int8][kernels]") {
    for_each_projection([](const KernelInfo &kernel) {
        for (const std::int64_t inputs : {5, 256, 300, 9001}) {
            constexpr std::int64_t outputs = 20, rows = 3;
            std::vector<float> weight(outputs * inputs), bias(outputs, 1), x(rows * inputs);
            for (std::int64_t i = 0; i < outputs * inputs; ++i) {
                weight[i] = static_cast<float>(i % inputs == 0 ? 127 : i * 37 % 255 - 127);
            }
            for (std::int64_t i = 0; i < rows * inputs; ++i) {
                x[i] = static_cast<float>(i % inputs == 1 ? -32767 : i * 7919 % 65535 - 32767);
            }
            const std::vector<double> y = projected(kernel, weight, bias, x, inputs);
            const std::vector<double> exact = reference_linear({x.begin(), x.end()}, weight, bias, inputs, outputs);
            for (std::size_t i = 0; i < y.size(); ++i) {
                CHECK(std::abs(y[i] - exact[i]) <= 1e-6 * sum_of_magnitudes(&x[i / outputs * inputs], inputs) * 127);
            }
        }
        // The largest sum that a chunk can have doesn't wrap around.
        const std::vector<double> y =
            projected(kernel, std::vector<float>(1024, -127), {0.0f}, std::vector<float>(1024, -32767), 1024);
        CHECK(std::abs(y[0] / (1024.0 * 127 * 32767) - 1) <= 1e-6);
    });
}

TEST_CASE("a projection in int8 of zeros is the bias, and of what isn't finite not a number", "[int8][kernels]") {
    for_each_projection([](const KernelInfo &kernel) {
        constexpr std::int64_t inputs = 150, outputs = 20, rows = 7;
        std::vector<float> weight = with_outliers(outputs * inputs, 1);
        const std::vector<float> bias = with_outliers(outputs, 2);
        std::fill_n(weight.begin() + 3 * inputs, inputs, 0.0f);  // a channel
        std::vector<float> x = with_outliers(rows * inputs, 3);
        const std::vector<double> before = projected(kernel, weight, bias, x, inputs);
        std::fill_n(x.begin() + 1 * inputs, inputs, 0.0f);  // a row
        x[2 * inputs + 149] = not_a_number;
        x[4 * inputs] = infinite;
        x[5 * inputs + 77] = -infinite;
        const std::vector<double> y = projected(kernel, weight, bias, x, inputs);
        for (std::int64_t i = 0; i < rows * outputs; ++i) {
            const std::int64_t row = i / outputs, channel = i % outputs;
            INFO("row " << row << ", channel " << channel);
            if (row == 2 || row == 4 || row == 5) {
                CHECK(std::isnan(y[i]));
            } else if (row == 1 || channel == 3) {
                CHECK(y[i] == bias[channel]);
            } else {
                CHECK(y[i] == before[i]);
            }
        }
    });
}

TEST_CASE("a projection in int8 takes every finite scale", "[int8][kernels]") {
    for_each_projection([](const KernelInfo &kernel) {
        const std::vector<float> x = {largest, -largest / 2, largest / 4, 1e-30f, 2e-30f, -1e-30f};
        const std::vector<float> weight = {1e-6f, 0, -1e-6f, 0, 1e-30f, 1e-30f, 1e8f, 0, 0};
        const std::vector<double> y = projected(kernel, weight, {0, 0, 0}, x, 3);
        const std::vector<double> exact = reference_linear({x.begin(), x.end()}, weight, {}, 3, 3);
        for (const std::size_t i : {0, 1, 3, 4, 5}) {
            CHECK(std::abs(y[i] - exact[i]) <= 0.01 * std::abs(exact[i]) + 1e-37);
        }
        CHECK(y[2] == infinite);
        const std::vector<double> of_largest = projected(kernel, {largest}, {0}, {-1, 0.5f}, 1);
        CHECK(std::abs(of_largest[0] / largest + 1) <= 1e-6);
        CHECK(std::abs(of_largest[1] / largest - 0.5) <= 1e-6);
    });
}

TEST_CASE("a layer of what isn't finite gives no numbers in int8 where it does in float32", "[int8][kernels]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.storage != "int8") {
            continue;
        }
        INFO(kernel.id);
        for (const float bad : {not_a_number, infinite, -infinite}) {
            const std::int64_t window = kernel.layer->has_window() ? 3 : 0;
            const Problem problem{{*kernel.layer, 40, 40, 16, window}, {2, 16}};
            std::vector<float> x = make_input(problem);
            x[5 * 40 + 7] = bad;  // of the first sample
            const std::vector<float> y = run(Layer(problem.config, make_weights(problem), {kernel.id}), x, {2, 16});
            CHECK(std::none_of(y.begin() + 16 * 40, y.end(), [](float value) { return std::isnan(value); }));
            CHECK(std::all_of(y.begin() + 5 * 40, y.begin() + 6 * 40, [](float value) { return std::isnan(value); }));
            if (kernel.layer != aft_local) {
                CHECK(std::all_of(y.begin(), y.begin() + 16 * 40, [](float value) { return std::isnan(value); }));
            }
        }
    }
}

TEST_CASE("a layer that asks for int8 has its projections in it, in every form, at once and in steps", "[int8]") {
    for (const NamedForm &named : named_forms) {
        INFO(named.name);
        const Problem problem = wide_problem(named.form);
        const Weights weights = make_weights(problem);
        const CallTensors call = make_call(problem);
        const Layer layer(problem.config, weights, in_int8);
        const std::vector<float> y = run(layer, call.layer);
        const Reference reference = reference_in_int8(problem.config, weights, call.layer);
        CHECK(error_in_tolerances(reference, y) <= 1);
        CHECK(error_in_tolerances(reference_layer(problem.config, weights, call.layer), y) > 2);
        for (const std::int64_t piece : {1, 7}) {
            if (named.form.is_causal() && !named.form.takes_bias()) {
                CHECK(error_in_tolerances(reference, run_in_pieces(layer, call.layer, piece)) <= 1);
            }
        }
    }
}

TEST_CASE("a layer in int8 has kernels for every length", "[int8]") {
    for (const LayerForm &form : {aft_full, aft_local, aft_simple}) {
        const Problem problem = wide_problem(form);
        const Weights weights = make_weights(problem);
        const Layer layer(problem.config, weights, in_int8);
        const std::string id = "aft_" + std::string(name(form)) + "_cpu_packed_int8";
        for (const auto &[T, variant] : {std::pair(1, "_single"), std::pair(2, "_single"), std::pair(3, "_short"),
                                         std::pair(16, "_short"), std::pair(17, ""), std::pair(40, "")}) {
            CHECK(layer.kernel_for({1, T}).id.find(id + variant) == 0);
            CHECK(layer.kernel_for({1, T}).storage == "int8");
            const Problem shorter{problem.config, {2, T}};
            const CallTensors call = make_call(shorter);
            const Reference reference = reference_in_int8(problem.config, weights, call.layer);
            CHECK(error_in_tolerances(reference, run(layer, call.layer)) <= 1);
        }
    }
}

TEST_CASE("training and means without projections refuse int8", "[int8]") {
    const Problem problem = wide_problem(aft_simple);
    const auto refuse = [&](const LayerOptions &options, const std::string &origin) {
        const std::string training =
            "storage 'int8'" + origin + " is for layers that keep their weights, not for training";
        CHECK_THROWS_MATCHES(LayerTraining(problem.config, options), ConfigError, Message(training));
        CHECK_THROWS_MATCHES(CoreTraining(problem.config, options), ConfigError, Message(training));
        CHECK_THROWS_MATCHES(Core(problem.config, {}, options), ConfigError,
                             Message("storage 'int8'" + origin +
                                     " is for the weights of projections, and a core has none"));
    };
    refuse(in_int8, "");
    const Environment named("AFT_STORAGE", "int8");
    refuse({"", "cpu"}, " (from AFT_STORAGE)");
    CHECK(Layer(problem.config, make_weights(problem), {"", "cpu"}).kernel_for({1, 1}).storage == "int8");
}
