#include "layer_steps.h"
#include "reference/gradients.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <algorithm>
#include <vector>

using namespace aft;
using Catch::Matchers::Message;

namespace {

const LayerOptions in_bfloat16 = {"", "cpu", "bfloat16"};

/// Independent roundings of many terms stay far below the sum of their bounds.
double allowed() {
    KernelInfo kernel;
    kernel.storage = "bfloat16";
    return allowed_tolerances(kernel) / 16;
}

}  // namespace

TEST_CASE("a layer that asks for bfloat16 runs the kernels that keep it, in every form", "[storage]") {
    for (const NamedForm &named : named_forms) {
        INFO(named.name);
        const Problem problem = wide_problem(named.form);
        const Weights weights = make_weights(problem);
        const CallTensors call = make_call(problem);
        const std::vector<float> y = run(Layer(problem.config, weights, in_bfloat16), call.layer);
        const double error = error_in_tolerances(reference_layer(problem.config, weights, call.layer), y);
        CHECK(error <= allowed());
        CHECK(error > 2);
    }
}

TEST_CASE("a layer keeps the storage for calls of every kind", "[storage]") {
    const Problem problem = wide_problem(aft_full);
    const Layer layer(problem.config, make_weights(problem), in_bfloat16);
    CHECK(layer.kernel_for({1, 40}).storage == "bfloat16");
    CHECK(layer.kernel_for({1, 1}).id == "aft_full_cpu_packed_bf16_single");
    CHECK(layer.kernel_for({1, 3}).id == "aft_full_cpu_packed_bf16_short");
    // Other inputs than the targets' go through projections and a core.
    CallTensors call = make_call(problem);
    call.layer.key = call.layer.query;
    const double error =
        error_in_tolerances(reference_layer(problem.config, make_weights(problem), call.layer), run(layer, call.layer));
    CHECK(error <= allowed());
    CHECK(error > 2);
}

TEST_CASE("a layer that is trained in bfloat16 has gradients within its roundings", "[storage][training]") {
    for (const NamedForm &named : named_forms) {
        if (named.form.varies_by_channel()) {
            continue;
        }
        INFO(named.name);
        const Problem problem = wide_problem(named.form);
        const Weights weights = make_weights(problem);
        const CallTensors call = make_call(problem);
        const LayerStep step = step_of(LayerTraining(problem.config, in_bfloat16), problem, weights);
        CHECK(error_in_tolerances(reference_layer(problem.config, weights, call.layer), step.y) <= allowed());
        double largest = 0;
        const Gradients gradients =
            reference_gradients(problem.config, weights, call.layer, gradient_of_result(problem, call.layer));
        for (const auto &[name, reference] : gradients.all()) {
            const auto found = step.gradients.find(name);
            if (found != step.gradients.end()) {
                INFO(name);
                const double error = error_in_tolerances(*reference, found->second);
                CHECK(error <= allowed());
                largest = std::max(largest, error);
            }
        }
        CHECK(largest > 2);
    }
}

TEST_CASE("the environment may name the storage, and another storage is an error", "[storage]") {
    const Problem problem = wide_problem(aft_simple);
    const Weights weights = make_weights(problem);
    {
        const Environment named("AFT_STORAGE", "bfloat16");
        CHECK(Layer(problem.config, weights, {"", "cpu"}).kernel_for({1, 40}).storage == "bfloat16");
        CHECK(Layer(problem.config, weights, {"", "cpu", "float32"}).kernel_for({1, 40}).storage == "float32");
    }
    CHECK_THROWS_MATCHES(Layer(problem.config, weights, {"", "cpu", "float16"}), ConfigError,
                         Message("storage 'float16' must be float32, bfloat16 or int8"));
    const Environment wrong("AFT_STORAGE", "int4");
    CHECK_THROWS_MATCHES(Layer(problem.config, weights, {"", "cpu"}), ConfigError,
                         Message("storage 'int4' (from AFT_STORAGE) must be float32, bfloat16 or int8"));
}
