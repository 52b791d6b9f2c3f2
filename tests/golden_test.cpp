#include "golden.h"
#include "golden_call.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace aft;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<double> to_double(const std::vector<float> &values) {
    return {values.begin(), values.end()};
}

/// Equal within `relative` of `scale`, and not a number in the same places.
void check_close(const std::vector<double> &actual, const std::vector<double> &expected,
                 const std::vector<double> &scale, double relative) {
    REQUIRE(actual.size() == expected.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const bool both_nan = std::isnan(actual[i]) && std::isnan(expected[i]);
        wrong += !both_nan && !(std::abs(actual[i] - expected[i]) <= relative * scale[i]);
    }
    CHECK(wrong == 0);
}

/// One sample of a tensor, [seq, channels], out of [batch, seq, channels] or, with layout TBC, [seq, batch, channels].
std::vector<double> sample(const Golden &golden, const StoredTensor &tensor, std::int64_t b) {
    const std::vector<double> all = tensor.dtype == "F64" ? tensor.as_double() : to_double(tensor.as_float());
    const bool seq_first = golden.metadata("layout") == "TBC";
    const std::int64_t B = golden.extent("B"), C = tensor.extents.back();
    const std::int64_t T = static_cast<std::int64_t>(all.size()) / (B * C);
    std::vector<double> values;
    for (std::int64_t t = 0; t < T; ++t) {
        const auto row = all.begin() + (seq_first ? t * B + b : b * T + t) * C;
        values.insert(values.end(), row, row + C);
    }
    return values;
}

std::vector<double> sample(const Golden &golden, const std::string &tensor, std::int64_t b) {
    return sample(golden, golden.file.tensors.at(tensor), b);
}

/// The position bias in any of the cases' forms: one for all or one per sample, dense or factorised, none, in a band,
/// causal.
PairBias bias_of(const Golden &golden, std::int64_t b) {
    const bool local = golden.metadata("layer") == "local", causal = golden.metadata("causal") == "true";
    const std::int64_t window = local ? golden.extent("window") : std::numeric_limits<std::int64_t>::max();
    PairBias w = [](auto, auto, auto) { return 0.0; };
    for (const char *name : {"w", "wbias", "pos_bias"}) {
        if (golden.has(name)) {
            const StoredTensor &tensor = golden.file.tensors.at(name);
            const std::int64_t columns = tensor.extents.back();
            const std::int64_t first = tensor.extents.size() == 3 ? b * tensor.extents[1] * columns : 0;
            w = [values = tensor.as_float(), columns, first](auto t, auto s, auto) -> double {
                return values[first + t * columns + s];
            };
        }
    }
    if (golden.has("wbias_u")) {
        w = [u = golden.floats("wbias_u"), v = golden.floats("wbias_v"),
             rank = golden.file.tensors.at("wbias_u").extents[1]](auto t, auto s, auto) {
            double sum = 0;
            for (std::int64_t r = 0; r < rank; ++r) {
                sum += static_cast<double>(u[t * rank + r]) * v[s * rank + r];
            }
            return sum;
        };
    }
    return [=](std::int64_t t, std::int64_t s, std::int64_t c) {
        return causal && s > t ? -infinity : std::abs(t - s) < window ? w(t, s, c) : 0.0;
    };
}

std::vector<double> gated(const std::vector<double> &query, std::vector<double> mean) {
    for (std::size_t i = 0; i < mean.size(); ++i) {
        mean[i] /= 1 + std::exp(-query[i]);
    }
    return mean;
}

/// format=core, and the first half of core+layer: query, key and value are given.
void check_core(const Golden &golden) {
    const std::int64_t P = golden.extent("hidden_dim"), T = golden.extent("T");
    for (std::int64_t b = 0; b < golden.extent("B"); ++b) {
        const WeightedMean mean =
            reference_mean(sample(golden, "k", b), sample(golden, "v", b), P, T, bias_of(golden, b));
        const std::vector<double> magnitude = sample(golden, "A_abs_f64", b);
        check_close(mean.magnitude, magnitude, magnitude, 1e-12);
        check_close(mean.value, sample(golden, "A_f64", b), magnitude, 1e-12);
        check_close(gated(sample(golden, "q", b), mean.value), sample(golden, "gated_f64", b), magnitude, 1e-12);
    }
}

/// format=layer: the projections as well. labml-nn has other names, and may have three inputs.
void check_layer(const Golden &golden) {
    const bool labml = golden.metadata("source") == "labml-nn";
    const std::int64_t P = golden.extent("hidden_dim"), H = golden.extent("dim"), T = golden.extent("T");
    const auto project = [&](const std::vector<double> &x, const std::string &name, std::int64_t in, std::int64_t out) {
        const std::string bias = name + ".bias";
        return reference_linear(x, golden.floats(name + ".weight"),
                                golden.has(bias) ? golden.floats(bias) : std::vector<float>(), in, out);
    };
    const auto input = [&](const std::string &part, std::int64_t b) {
        return sample(golden, golden.has("input") ? "input" : "input_" + part, b);
    };
    for (std::int64_t b = 0; b < golden.extent("B"); ++b) {
        const std::vector<double> query = project(input("query", b), labml ? "query" : "to_q", H, P);
        const std::vector<double> key = project(input("key", b), labml ? "key" : "to_k", H, P);
        const std::vector<double> value = project(input("value", b), labml ? "value" : "to_v", H, P);
        const WeightedMean mean = reference_mean(key, value, P, T, bias_of(golden, b));
        const std::vector<double> output = sample(golden, "output_f64", b);
        double largest = 0;
        for (const double y : output) {
            largest = std::max(largest, std::abs(y));
        }
        check_close(project(gated(query, mean.value), labml ? "output" : "project", P, H), output,
                    std::vector<double>(output.size(), largest), 1e-12);
    }
}

/// format=wkv, RWKV-4's mean: the logit decays by exp(time_decay) per step and channel, and is time_first at the
/// target.
void check_wkv(const Golden &golden) {
    const std::int64_t P = golden.extent("hidden_dim"), T = golden.extent("T");
    const std::vector<float> decay = golden.floats("time_decay"), first = golden.floats("time_first");
    for (std::int64_t b = 0; b < golden.extent("B"); ++b) {
        const std::vector<double> key = sample(golden, "k", b), value = sample(golden, "v", b);
        const std::vector<double> output = sample(golden, "output_f64", b);
        const WeightedMean mean = reference_mean(key, value, P, T, [&](auto t, auto s, auto c) -> double {
            return s > t ? -infinity : s == t ? first[c] : (t - 1 - s) * -std::exp(static_cast<double>(decay[c]));
        });
        check_close(mean.value, output, mean.magnitude, 1e-12);
    }
}

Reference reference_of(const GoldenCall &call) {
    return call.is_layer ? reference_layer(call.config, call.weights, call.layer)
                         : reference_core(call.config, call.weights, call.core);
}

/// By the kernel that is named; "": by those that the library chooses.
std::vector<float> result(const GoldenCall &call, const std::string &kernel = "") {
    const auto [B, n, channels] = call.extents;
    std::vector<float> y(B * n * channels, -1);
    if (call.is_layer) {
        Layer(call.config, call.weights, {kernel}).forward(call.layer, {y.data(), call.extents});
    } else {
        Core(call.config, call.weights, {kernel}).forward(call.core, {y.data(), call.extents});
    }
    return y;
}

void check_output(const Golden &golden, const Layer &layer) {
    CHECK(golden_error(golden, run(layer, golden.floats("input"), shape_of(golden))) <= 1);
}

/// For a kernel that isn't held to the errors of float32, which the case has.
void check_output_by_reference(const Golden &golden, const Layer &layer, const Weights &weights) {
    const Shape shape = shape_of(golden);
    const std::vector<float> x = golden.floats("input");
    const auto [reference, allowed] =
        expected_layer(layer.kernel_for(shape), layer.config(), weights, call_with(layer.config(), x, shape));
    CHECK(error_in_tolerances(reference, run(layer, x, shape)) <= allowed);
}

}  // namespace

TEST_CASE("the reference matches every golden case", "[reference][golden]") {
    const std::vector<Golden> cases = goldens();
    CHECK(cases.size() == 40);
    for (const Golden &golden : cases) {
        INFO(golden.name);
        const std::string &format = golden.metadata("format");
        if (format == "wkv") {
            check_wkv(golden);
        }
        if (format == "layer" || format == "core+layer") {
            check_layer(golden);
        }
        if (format == "core" || format == "core+layer") {
            check_core(golden);
        }
    }
}

TEST_CASE("the reference of a whole layer matches the golden cases", "[reference][golden]") {
    for (const Golden &golden : layer_goldens()) {
        INFO(golden.name);
        const LayerConfig config = config_of(golden);
        const Reference reference =
            reference_forward(config, load_weights(golden.path, config), golden.floats("input"), shape_of(golden));
        const std::vector<double> output = golden.doubles("output_f64");
        // The product of factors is rounded to float32: a mean is off by 2 * 2^-24 |w| at most, of what the tolerance
        // has 4 * 2^-23 of.
        check_close(reference.output, output, reference.tolerance, golden.has("wbias_u") ? 0.25 : 1e-6);
    }
}

TEST_CASE("the reference of a call matches every golden case", "[reference][golden]") {
    std::size_t count = 0;
    for (const Golden &golden : goldens()) {
        for (const GoldenCall &call : calls_of(golden)) {
            INFO(call.name);
            const Reference reference = reference_of(call);
            // A product of factors, or exp of a rate, is rounded to float32.
            const double share = call.has_rounded_parameters ? 0.25 : 1e-6;
            check_close(reference.output, call.output, reference.tolerance, share);
            ++count;
        }
    }
    CHECK(count == 74);
}

TEST_CASE("every golden case matches in each way to compute it", "[golden]") {
    for (const Golden &golden : goldens()) {
        for (const GoldenCall &call : calls_of(golden)) {
            INFO(call.name);
            CHECK(error_in_allowed(call, result(call)) <= 1);
        }
    }
}

TEST_CASE("every kernel of a mean matches the golden cases", "[golden]") {
    for (const Golden &golden : goldens()) {
        for (const GoldenCall &call : calls_of(golden)) {
            Problem problem{call.config, {call.extents[0], call.extents[1]}};
            problem.sources = call.is_layer ? 0 : call.core.key.extents[1];
            problem.mask = call.mask ? Mask::pairs : Mask::none;
            for (const KernelInfo &kernel : kernels()) {
                if (kernel.operation == "forward" || kernel.operation == "linear" || !runs_here(kernel) ||
                    !serves_mean(kernel, problem)) {
                    continue;
                }
                INFO(kernel.id << " on " << call.name);
                std::vector<float> y = call.is_layer ? run(Layer(call.config, call.weights, {kernel.id}), call.layer)
                                                     : run(Core(call.config, call.weights, {kernel.id}), call.core);
                if (kernel.storage == "float32") {
                    CHECK(error_in_allowed(call, y) <= 1);
                } else {
                    Reference reference = reference_of(call);
                    for (std::size_t i = 0; i < y.size(); ++i) {
                        if (std::isnan(call.output[i]) && std::isnan(y[i])) {
                            y[i] = 0;
                            reference.output[i] = 0;
                            reference.tolerance[i] = 1;
                        }
                    }
                    CHECK(error_in_tolerances(reference, y) <= allowed_tolerances(kernel));
                }
            }
        }
    }
}

TEST_CASE("a layer matches the golden cases", "[golden]") {
    CHECK(layer_goldens().size() == 22);
    for (const Golden &golden : layer_goldens()) {
        INFO(golden.name);
        const LayerConfig config = config_of(golden);
        check_output(golden, Layer(config, load_weights(golden.path, config)));
    }
}

TEST_CASE("each kernel matches the golden cases or refuses their position bias", "[golden]") {
    for (const Golden &golden : layer_goldens()) {
        const LayerConfig config = config_of(golden);
        const Weights weights = load_weights(golden.path, config);
        for (const KernelInfo &kernel : kernels()) {
            if (!is_tested(kernel) || kernel.operation != "forward" || kernel.layer != config.form) {
                continue;
            }
            INFO(kernel.id << " on " << golden.name);
            try {
                const Layer layer(config, weights, {kernel.id});
                if (kernel.storage == "float32") {
                    check_output(golden, layer);
                } else {
                    check_output_by_reference(golden, layer, weights);
                }
            } catch (const Error &error) {
                INFO(error.what());
                CHECK((!kernel.any_bias_range || kernel.minimum.seq > 1));
            }
        }
    }
}
