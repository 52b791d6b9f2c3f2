#include "golden.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>

using namespace aft;

namespace {

/// y of a time-major case, [T, B, H], which the layer sees as [B, T, H].
std::vector<float> run_time_major(const Layer &layer, const Golden &golden) {
    const std::vector<float> x = golden.floats("input");
    std::vector<float> y(x.size(), std::numeric_limits<float>::quiet_NaN());
    const auto [B, T] = shape_of(golden);
    const std::int64_t H = golden.extent("dim");
    layer.forward({x.data(), {B, T, H}, {H, B * H, 1}}, {y.data(), {B, T, H}, {H, B * H, 1}});
    return y;
}

}  // namespace

TEST_CASE("layers of labml-nn match their golden cases, time-major", "[golden]") {
    for (const std::string name : {"labml_nomask_short", "labml_t1"}) {
        INFO(name);
        const Golden golden = golden_named(name);
        const LayerConfig config = config_from_weights(golden.path, {aft_local});
        CHECK(config.hidden == golden.extent("dim"));
        CHECK(config.max_seq_len == golden.extent("max_seqlen"));
        CHECK(config.window == golden.extent("window"));
        const Weights weights = load_weights(golden.path, config);
        for (const KernelInfo &kernel : kernels()) {
            if (!is_tested(kernel) || kernel.operation != "forward" || kernel.layer != config.form ||
                kernel.minimum.seq > 1 || kernel.storage != "float32") {
                continue;
            }
            INFO(kernel.id);
            CHECK(golden_error(golden, run_time_major(Layer(config, weights, {kernel.id}), golden)) <= 1);
        }
    }
}

TEST_CASE("a mask of labml-nn is -inf in the position bias of a full layer", "[golden]") {
    const Golden golden = golden_named("labml_causal");
    LayerConfig config = config_from_weights(golden.path, {aft_local});
    CHECK(config.window == 3);
    Weights weights = load_weights(golden.path, config);
    const std::vector<std::byte> &visible = golden.file.tensors.at("mask").bytes;
    const std::int64_t S = config.max_seq_len;
    REQUIRE(visible.size() == weights.position_bias.size());
    for (std::int64_t t = 0; t < S; ++t) {
        for (std::int64_t s = 0; s < S; ++s) {
            float &w = weights.position_bias[t * S + s];
            w = visible[t * S + s] == std::byte{0} ? -std::numeric_limits<float>::infinity()
                : std::abs(t - s) < config.window  ? w
                                                   : 0;
        }
    }
    config.form = aft_full;
    CHECK(golden_error(golden, run_time_major(Layer(config, weights), golden)) <= 1);
}

TEST_CASE("labml-nn's layer without biases is loaded", "[golden]") {
    const Golden golden = golden_named("labml_cross_causal_nobias");
    const LayerConfig config = config_from_weights(golden.path, {aft_local});
    CHECK(config.window == 5);
    const Weights weights = load_weights(golden.path, config);
    CHECK(weights.query_bias.empty());
    CHECK(weights.key_weight == golden.floats("key.weight"));
    CHECK(weights.project_bias == golden.floats("output.bias"));
}

TEST_CASE("a trained network of FeatureBooster gives what it gave in float64", "[golden]") {
    const char *const path = std::getenv("AFT_FEATUREBOOSTER");
    if (!path) {
        SKIP("AFT_FEATUREBOOSTER doesn't name a file; tests/data/README.md says what it holds");
    }
    const SafetensorsFile file = read_safetensors(path);
    for (const std::string i : {"0", "1", "2", "3"}) {
        const LoadOptions layer_i{"attn_proj.layers." + i + ".attn.", "featurebooster"};
        const StoredTensor &input = file.tensors.at("layers." + i + ".aft_in");
        const std::vector<float> x = input.as_float();
        const std::vector<double> expected = file.tensors.at("layers." + i + ".aft_out_f64").as_double();
        const Shape shape{1, input.extents.at(0)};
        const LayerConfig config = config_from_weights(file, {aft_simple, 0, 0, shape.seq, 0}, layer_i);
        const Weights weights = load_weights(file, config, layer_i);
        Reference reference = reference_forward(config, weights, x, shape);
        REQUIRE(reference.output.size() == expected.size());
        for (std::size_t at = 0; at < expected.size(); ++at) {
            CHECK(std::abs(reference.output[at] - expected[at]) <= 1e-6 * reference.tolerance[at]);
        }
        reference.output = expected;
        for (const KernelInfo &kernel : kernels()) {
            if (!is_tested(kernel) || kernel.operation != "forward" || kernel.layer != config.form ||
                kernel.minimum.seq > shape.seq) {
                continue;
            }
            INFO(kernel.id << " on layer " << i);
            const double error = error_in_tolerances(reference, run(Layer(config, weights, {kernel.id}), x, shape));
            CAPTURE(error);
            CHECK(error <= allowed_tolerances(kernel));
        }
    }
}
