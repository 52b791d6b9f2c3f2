// The blocks beside the same computation in double. Comparisons fail for NaN.
#include "blocks/blocks.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <limits>
#include <random>

namespace {

using namespace networks;

using Values = std::vector<float>;
using Doubles = std::vector<double>;

int failures = 0;

Values random_values(std::int64_t count, float range) {
    static std::mt19937 random(1);
    std::uniform_real_distribution<float> values(-range, range);
    Values result(static_cast<std::size_t>(count));
    for (float &value : result) {
        value = values(random);
    }
    return result;
}

Values missing(std::int64_t count) {
    return Values(static_cast<std::size_t>(count), std::numeric_limits<float>::quiet_NaN());
}

double largest(const Doubles &values) {
    double result = 0;
    for (const double value : values) {
        result = std::max(result, std::abs(value));
    }
    return result;
}

/// The largest error is at most `tolerance`.
void expect(const std::string &what, const Values &y, const Doubles &expected, double tolerance) {
    double error = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double each = std::abs(y[i] - expected[i]);
        error = std::isnan(each) || each > error ? each : error;  // a NaN stays
    }
    if (y.size() != expected.size() || !(error <= tolerance)) {
        std::cout << what << ": off by " << error << ", at most " << tolerance << '\n';
        ++failures;
    }
}

void expect_refusal(const std::string &what, const std::string &message, const std::function<void()> &call) {
    try {
        call();
        std::cout << what << ": isn't refused\n";
    } catch (const aft::Error &error) {
        if (error.what() == message) {
            return;
        }
        std::cout << what << ": refused by \"" << error.what() << "\"\n";
    }
    ++failures;
}

double activated(Activation activation, double v) {
    switch (activation) {
        case Activation::relu: return std::max(v, 0.0);
        case Activation::gelu: return v * std::erfc(-v / std::sqrt(2.0)) / 2;
        case Activation::tanh: return std::tanh(v);
        case Activation::none: break;
    }
    return v;
}

void test_linear(std::int64_t batch, std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
    const Values x = random_values(batch * rows * inputs, 3), weight = random_values(inputs * outputs, 1),
                 bias = random_values(outputs, 1), residual = random_values(batch * rows * outputs, 1);
    Doubles mapped;
    for (std::int64_t row = 0; row < batch * rows; ++row) {
        for (std::int64_t c = 0; c < outputs; ++c) {
            double sum = bias[c];
            for (std::int64_t k = 0; k < inputs; ++k) {
                sum += static_cast<double>(x[row * inputs + k]) * weight[c * inputs + k];
            }
            mapped.push_back(sum);
        }
    }
    const std::string shape = " of " + std::to_string(batch) + " x " + std::to_string(rows) + " rows, " +
                              std::to_string(inputs) + " to " + std::to_string(outputs);
    const double tolerance = 1e-6 * largest(mapped);  // the activations' slopes are at most 1.13
    const View::Extents of_x{batch, rows, inputs}, of_y{batch, rows, outputs};
    for (const auto &[activation, name] : {std::pair(Activation::none, "linear"), std::pair(Activation::relu, "relu"),
                                           std::pair(Activation::gelu, "gelu"), std::pair(Activation::tanh, "tanh")}) {
        Values y = missing(batch * rows * outputs);
        Linear(inputs, outputs, weight, bias, activation).forward({x.data(), of_x}, {y.data(), of_y});
        Doubles expected;
        for (const double v : mapped) {
            expected.push_back(activated(activation, v));
        }
        expect(name + shape, y, expected, tolerance);
    }
    const Values between(outputs, 7);  // the samples of y
    Values apart;
    for (std::int64_t b = 0; b < batch; ++b) {
        const Values sample = missing(rows * outputs);
        apart.insert(apart.end(), sample.begin(), sample.end());
        apart.insert(apart.end(), between.begin(), between.end());
    }
    Linear(inputs, outputs, weight, bias)
        .forward({x.data(), of_x}, {apart.data(), of_y, {(rows + 1) * outputs, outputs, 1}});
    Doubles with_gaps;
    for (std::int64_t b = 0; b < batch; ++b) {
        with_gaps.insert(with_gaps.end(), mapped.begin() + b * rows * outputs,
                         mapped.begin() + (b + 1) * rows * outputs);
        with_gaps.insert(with_gaps.end(), between.begin(), between.end());
    }
    expect("linear with gaps" + shape, apart, with_gaps, tolerance);
    Values y = residual;  // in place
    Linear(inputs, outputs, weight, bias).forward({x.data(), of_x}, {y.data(), of_y}, {y.data(), of_y});
    Doubles expected = mapped;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        expected[i] += residual[i];
    }
    expect("residual" + shape, y, expected, tolerance);
}

/// gelu and tanh where they are small, relative to each value.
void test_small_activations() {
    for (const Activation activation : {Activation::gelu, Activation::tanh}) {
        const Linear same(1, 1, {1}, {0}, activation);
        for (int i = -2200; i < 2200; ++i) {
            const float v = static_cast<float>(i) / 73;
            float y = std::numeric_limits<float>::quiet_NaN();
            same.forward({&v, {1, 1, 1}}, {&y, {1, 1, 1}});
            const double expected = activated(activation, v), allowed = std::max(1e-6 * std::abs(expected), 1e-9);
            if (!(std::abs(y - expected) <= allowed)) {
                std::cout << (activation == Activation::gelu ? "gelu(" : "tanh(") << v << ") = " << y << ", not "
                          << expected << '\n';
                ++failures;
                break;
            }
        }
    }
}

/// `among(i)` lists the elements that share a mean with element i.
Doubles normed(const Doubles &v, const Values &weight, const Values &bias, std::int64_t rows, bool of_row,
               double epsilon) {
    const std::int64_t channels = static_cast<std::int64_t>(weight.size());
    Doubles result;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(v.size()); ++i) {
        const std::int64_t row = i / channels, channel = i % channels, first = row / rows * rows;
        const std::int64_t start = of_row ? row * channels : first * channels + channel;
        const std::int64_t count = of_row ? channels : rows, step = of_row ? 1 : channels;
        double mean = 0, variance = 0;
        for (std::int64_t j = 0; j < count; ++j) {
            mean += v[start + j * step] / static_cast<double>(count);
        }
        for (std::int64_t j = 0; j < count; ++j) {
            variance += (v[start + j * step] - mean) * (v[start + j * step] - mean) / static_cast<double>(count);
        }
        result.push_back((v[i] - mean) / std::sqrt(variance + epsilon) * weight[channel] + bias[channel]);
    }
    return result;
}

void test_norms(std::int64_t batch, std::int64_t rows, std::int64_t channels) {
    const std::int64_t count = batch * rows * channels;
    Values x = random_values(count, 2), added = random_values(count, 1);
    for (std::int64_t i = 0; i < count; ++i) {
        x[i] += static_cast<float>(i % channels % 7);  // means that aren't 0
    }
    const Values weight = random_values(channels, 1), bias = random_values(channels, 1);
    const Doubles alone(x.begin(), x.end());
    Doubles total = alone, unit_rows;
    for (std::int64_t i = 0; i < count; ++i) {
        total[i] += added[i];
        double squares = 0;
        for (std::int64_t j = i / channels * channels; j < (i / channels + 1) * channels; ++j) {
            squares += alone[j] * alone[j];
        }
        unit_rows.push_back(alone[i] / std::sqrt(squares));
    }
    const std::string shape =
        " of " + std::to_string(batch) + " x " + std::to_string(rows) + " rows of " + std::to_string(channels);
    const View::Extents extents{batch, rows, channels};
    Values y = x;  // in place
    const LayerNorm layer_norm(weight, bias, 1e-6f);
    layer_norm.forward({y.data(), extents}, {y.data(), extents});
    expect("layer norm" + shape, y, normed(alone, weight, bias, rows, true, 1e-6), 5e-6);
    y = x;
    unit({y.data(), extents}, {y.data(), extents});
    expect("unit" + shape, y, unit_rows, 1e-6);
    for (const bool of_row : {true, false}) {
        Values sum = x;
        y = missing(count);
        const View of_sum(sum.data(), extents), of_added(added.data(), extents);
        const Result to_sum(sum.data(), extents), to_y(y.data(), extents);
        if (of_row) {
            layer_norm.forward(of_sum, of_added, to_sum, to_y);
        } else {
            InstanceNorm(weight, bias, 1e-5f).forward(of_sum, of_added, to_sum, to_y);
        }
        expect("sum" + shape, sum, total, 1e-6);
        expect((of_row ? "layer norm of a sum" : "instance norm of a sum") + shape, y,
               normed(total, weight, bias, rows, of_row, of_row ? 1e-6 : 1e-5), 5e-6);
    }
}

void test_refusals() {
    const Linear linear(3, 2, Values(6), Values(2)), bent(3, 2, Values(6), Values(2), Activation::relu);
    const Values x(12), residual(4);
    Values y(4);
    expect_refusal("too many inputs", "x is [1, 2, 4], must be [1, 2, 3] with channels side by side",
                   [&] { linear.forward({x.data(), {1, 2, 4}}, {y.data(), {1, 2, 2}}); });
    expect_refusal("too few rows", "y is [1, 1, 2], must be [1, 2, 2] with channels side by side",
                   [&] { linear.forward({x.data(), {1, 2, 3}}, {y.data(), {1, 1, 2}}); });
    expect_refusal("a residual behind an activation", "a linear map with an activation adds no residual",
                   [&] { bent.forward({x.data(), {1, 2, 3}}, {residual.data(), {1, 2, 2}}, {y.data(), {1, 2, 2}}); });
    expect_refusal("a short bias", "a linear map has a weight [2, 3] of 6 values, and a bias of 1",
                   [] { Linear(3, 2, Values(6), Values(1)); });
    expect_refusal("a missing tensor", ": a.weight is missing, or no matrix",
                   [] { Linear(aft::SafetensorsFile{}, "a"); });
    expect_refusal("a norm of two lengths", "a norm has 2 weights and 3 biases",
                   [] { LayerNorm(Values(2), Values(3), 1e-6f); });
}

}  // namespace

int main() {
    // The threads of the kernels are those of a layer.
    aft::Weights weights;
    weights.query_weight = weights.key_weight = weights.value_weight = weights.project_weight = {1};
    const aft::Layer layer({aft::aft_simple, 1, 1, 1}, weights);

    for (const auto &[batch, rows, inputs, outputs] : {std::array<std::int64_t, 4>{1, 1, 1, 1},
                                                       {1, 2, 128, 512},
                                                       {2, 1, 5, 7},
                                                       {1, 5, 4, 32},
                                                       {1, 96, 128, 128},
                                                       {3, 17, 33, 45},
                                                       {1, 300, 700, 65}}) {
        test_linear(batch, rows, inputs, outputs);
    }
    test_small_activations();
    for (const auto &[batch, rows, channels] :
         {std::array<std::int64_t, 3>{1, 1, 3}, {1, 2, 16}, {2, 7, 17}, {1, 96, 128}, {3, 50, 130}, {1, 400, 256}}) {
        test_norms(batch, rows, channels);
    }
    test_refusals();
    std::cout << (failures == 0 ? "all right\n" : "");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
