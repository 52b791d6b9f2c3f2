#include "golden.h"
#include "naming.h"
#include "parameters.h"
#include "reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Every value of the layer is different: 1, 2, 3, ...
void add_layer(SafetensorsFile &file, const std::string &prefix, const LayerConfig &config, const Naming &naming) {
    float next = 1;
    for (const Parameter &parameter : parameters(config, naming)) {
        std::vector<float> values(parameter.size());
        std::iota(values.begin(), values.end(), next);
        next += static_cast<float>(values.size());
        file.tensors[prefix + parameter.tensor] = stored_tensor(parameter.extents, values);
    }
}

/// BOOL [size, size]
StoredTensor mask(std::int64_t size, bool (*is_visible)(std::int64_t target, std::int64_t source)) {
    StoredTensor tensor{"BOOL", {size, size}, {}};
    for (std::int64_t t = 0; t < size; t++)
        for (std::int64_t s = 0; s < size; s++)
            tensor.bytes.push_back(static_cast<std::byte>(is_visible(t, s)));
    return tensor;
}

void check_same(const Weights &a, const Weights &b, const LayerConfig &config) {
    for (const Parameter &parameter : parameters(config)) {
        INFO(parameter.tensor);
        CHECK((a.*parameter.values).size() == static_cast<std::size_t>(parameter.size()));
        CHECK(a.*parameter.values == b.*parameter.values);
    }
}

Golden golden_named(const std::string &name) {
    for (Golden &golden : goldens())
        if (golden.name == name)
            return golden;
    throw std::logic_error("no golden case " + name);
}

/// y of a time-major case, [T, B, H], which the layer sees as [B, T, H].
std::vector<float> run_time_major(const Layer &layer, const Golden &golden) {
    const std::vector<float> x = golden.floats("input");
    std::vector<float> y(x.size(), std::numeric_limits<float>::quiet_NaN());
    const auto [B, T] = shape_of(golden);
    const std::int64_t H = golden.extent("dim");
    layer.forward({x.data(), {B, T, H}, {H, B * H, 1}}, {y.data(), {B, T, H}, {H, B * H, 1}});
    return y;
}

/// A network with the names of FeatureBooster: two layers, and what lies around them.
SafetensorsFile boosting_network(const LayerConfig &config) {
    SafetensorsFile file;
    for (const std::string layer : {"attn_proj.layers.0.", "attn_proj.layers.1."}) {
        for (const std::string module : {"query", "key", "value"}) {
            file.tensors[layer + "attn." + module + ".weight"] = stored_tensor({2, 3}, {1, 2, 3, 4, 5, 6});
            file.tensors[layer + "attn." + module + ".bias"] = stored_tensor({2}, {7, 8});
        }
        file.tensors[layer + "attn.proj.weight"] = stored_tensor({3, 2}, {1, 2, 3, 4, 5, 6});
        file.tensors[layer + "attn.proj.bias"] = stored_tensor({3}, {7, 8, 9});
        file.tensors[layer + "attn.layer_norm.weight"] = stored_tensor({3}, {1, 1, 1});
        file.tensors[layer + "ffn.mlp.0.weight"] = stored_tensor({1, 3}, {1, 1, 1});
    }
    file.tensors["attn_proj.layers.1.attn.key.bias"] = stored_tensor({2}, {-1, -2});
    file.tensors["final_proj.weight"] = stored_tensor({3, 3}, std::vector<float>(9));
    REQUIRE(config.projected == 2);
    REQUIRE(config.hidden == 3);
    return file;
}

const LayerConfig simple{LayerKind::simple, /*hidden=*/3, /*projected=*/2, /*max_seq_len=*/4, 0};
const LayerConfig local{LayerKind::local, /*hidden=*/3, /*projected=*/2, /*max_seq_len=*/4, /*window=*/2};

}  // namespace

TEST_CASE("a layer is found by the names of any network, wherever it is", "[weights]") {
    for (const LayerConfig &config : {simple, local})
        for (const Naming &naming : naming_table)
            for (const std::string prefix : {"", "attn.", "blocks.0.attn."}) {
                if (config.kind == LayerKind::local && naming.position_bias.empty())
                    continue;
                INFO(naming.name << " at " << prefix);
                SafetensorsFile expected, file;
                add_layer(expected, "", config, aft_pytorch);
                add_layer(file, prefix, config, naming);
                file.tensors["head.output.scale"] = stored_tensor({1}, {1});
                const Weights weights = load_weights(expected, config);
                check_same(weights, load_weights(file, config), config);
                check_same(weights, load_weights(file, config, {prefix, std::string(naming.name)}), config);
                const LayerConfig implied = config_from_weights(file, {config.kind, 0, 0, 4, 2});
                CHECK(implied.hidden == 3);
                CHECK(implied.projected == 2);
                CHECK(implied.max_seq_len == 4);
                CHECK(implied.window == 2);
            }
}

TEST_CASE("a prefix chooses one layer of a network", "[weights]") {
    const SafetensorsFile file = boosting_network(simple);
    CHECK(load_weights(file, simple, {"attn_proj.layers.0.attn."}).key_bias == std::vector<float>{7, 8});
    CHECK(load_weights(file, simple, {"attn_proj.layers.1.attn."}).key_bias == std::vector<float>{-1, -2});
    CHECK(load_weights(file, simple, {"attn_proj.layers.1.attn.", "featurebooster"}).project_bias ==
          std::vector<float>{7, 8, 9});
    const std::string both = "\"attn_proj.layers.0.attn.\" (featurebooster), \"attn_proj.layers.1.attn.\" "
                             "(featurebooster)";
    CHECK_THROWS_AS(load_weights(file, simple), WeightsError);
    CHECK_THROWS_WITH(load_weights(file, simple),
                      "may have more than one layer, prefix or naming must choose: " + both);
    CHECK_THROWS_WITH(config_from_weights(file, simple), ContainsSubstring(both));
    CHECK_THROWS_WITH(load_weights(file, simple, {"attn_proj.layers.0.attn"}),
                      "has no layer with prefix \"attn_proj.layers.0.attn\"; there are: " + both);
    CHECK_THROWS_WITH(load_weights(file, local, {"attn_proj.layers.0.attn."}),
                      "layer \"attn_proj.layers.0.attn.\": featurebooster has no position bias, a local layer needs "
                      "one");
}

TEST_CASE("a layer that isn't there, or might be of two networks, is refused with what was looked for", "[weights]") {
    SafetensorsFile file;
    file.tensors["output.weight"] = stored_tensor({2, 2}, {1, 2, 3, 4});  // the head of a network
    CHECK_THROWS_AS(load_weights(file, simple), WeightsError);
    CHECK_THROWS_WITH(load_weights(file, simple),
                      "has no layer, looked for to_q.weight, to_k.weight, to_v.weight, project.weight (aft-pytorch); "
                      "query.weight, key.weight, value.weight, output.weight (labml-nn); "
                      "query.weight, key.weight, value.weight, proj.weight (featurebooster)");
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "labml-nn"}),
                      "has no layer, looked for query.weight, key.weight, value.weight, output.weight (labml-nn)");
    CHECK_THROWS_AS(load_weights(file, simple, {std::nullopt, "keras"}), ConfigError);
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "keras"}),
                      "naming \"keras\" doesn't exist: must be one of aft-pytorch, labml-nn, featurebooster");

    file.tensors.clear();
    add_layer(file, "a.", simple, naming_table[1]);
    file.tensors.erase("a.output.weight");
    CHECK_THROWS_WITH(load_weights(file, simple), ContainsSubstring("\"a.\" (labml-nn), \"a.\" (featurebooster)"));
    CHECK_THROWS_WITH(load_weights(file, simple, {"a.", "featurebooster"}),
                      "layer \"a.\": proj.weight is missing, must be [3, 2]; \"output.bias\" is unexpected");
}

TEST_CASE("a prefix is a module's, or what it is said to be", "[weights]") {
    SafetensorsFile file;
    add_layer(file, "relative_", simple, naming_table[1]);
    CHECK_THROWS_WITH(load_weights(file, simple), ContainsSubstring("has no layer, looked for"));
    CHECK(load_weights(file, simple, {"relative_"}).query_weight.size() == 6);
    add_layer(file, "", simple, aft_pytorch);
    CHECK(load_weights(file, simple).query_weight.size() == 6);
    add_layer(file, "a.", simple, aft_pytorch);
    CHECK_THROWS_WITH(load_weights(file, simple), ContainsSubstring("\"\" (aft-pytorch), \"a.\" (aft-pytorch)"));
    CHECK(load_weights(file, simple, {""}).query_weight.size() == 6);
}

TEST_CASE("the mask of labml-nn gives the window", "[weights]") {
    SafetensorsFile file;
    add_layer(file, "", local, naming_table[1]);
    file.tensors["local_mask"] = mask(4, [](auto t, auto s) { return std::abs(t - s) < 2; });
    CHECK(config_from_weights(file, {LayerKind::local, 0, 0, 0, 99}).window == 2);
    CHECK_NOTHROW(load_weights(file, local));
    CHECK_THROWS_WITH(load_weights(file, {LayerKind::local, 3, 2, 4, 3}), "local_mask has window 2, must have 3");
    CHECK_THROWS_WITH(load_weights(file, {LayerKind::full, 3, 2, 4, 0}), "local_mask has window 2, must have 4");

    CHECK_THROWS_WITH(load_weights(file, simple), R"("local_mask" is unexpected; "pos_bias" is unexpected)");

    file.tensors["local_mask"] = mask(4, [](auto, auto) { return true; });
    CHECK(config_from_weights(file, {LayerKind::local}).window == 4);
    CHECK_NOTHROW(load_weights(file, {LayerKind::local, 3, 2, 4, 100}));
    CHECK_NOTHROW(load_weights(file, {LayerKind::full, 3, 2, 4, 0}));
    file.tensors["local_mask"] = mask(4, [](auto, auto) { return false; });
    CHECK(config_from_weights(file, {LayerKind::local}).window == 0);

    file.tensors["local_mask"] = mask(4, [](auto t, auto s) { return s <= t && t - s < 2; });
    const std::string one_sided = "local_mask is true at [1, 0], must be |t - t'| < 1 as in its first row";
    CHECK_THROWS_WITH(config_from_weights(file, {LayerKind::local}), one_sided);
    CHECK_THROWS_WITH(load_weights(file, local), one_sided);
    file.tensors["local_mask"] = mask(3, [](auto, auto) { return true; });
    CHECK_THROWS_WITH(load_weights(file, local), "local_mask is BOOL [3, 3], must be BOOL [4, 4]");
    file.tensors["local_mask"] = stored_tensor({4, 4}, std::vector<float>(16));
    CHECK_THROWS_WITH(load_weights(file, local), "local_mask is F32 [4, 4], must be BOOL [4, 4]");
}

TEST_CASE("layers of labml-nn match their golden cases, time-major", "[golden]") {
    for (const std::string name : {"labml_nomask_short", "labml_t1"}) {
        INFO(name);
        const Golden golden = golden_named(name);
        const LayerConfig config = config_from_weights(golden.path, {LayerKind::local});
        CHECK(config.hidden == golden.extent("dim"));
        CHECK(config.max_seq_len == golden.extent("max_seqlen"));
        CHECK(config.window == golden.extent("window"));
        const Weights weights = load_weights(golden.path, config);
        for (const KernelInfo &kernel : kernels()) {
            if (!is_tested(kernel) || kernel.layer != config.kind || kernel.minimum.seq > 1 ||
                kernel.storage != "float32")
                continue;
            INFO(kernel.id);
            CHECK(golden_error(golden, run_time_major(Layer(config, weights, {kernel.id}), golden)) <= 1);
        }
    }
}

TEST_CASE("a mask of labml-nn is -inf in the position bias of a full layer", "[golden]") {
    const Golden golden = golden_named("labml_causal");
    LayerConfig config = config_from_weights(golden.path, {LayerKind::local});
    CHECK(config.window == 3);
    Weights weights = load_weights(golden.path, config);
    const std::vector<std::byte> &visible = golden.file.tensors.at("mask").bytes;
    const std::int64_t S = config.max_seq_len;
    REQUIRE(visible.size() == weights.position_bias.size());
    for (std::int64_t t = 0; t < S; t++)
        for (std::int64_t s = 0; s < S; s++) {
            float &w = weights.position_bias[t * S + s];
            w = visible[t * S + s] == std::byte{0} ? -std::numeric_limits<float>::infinity()
                : std::abs(t - s) < config.window  ? w
                                                   : 0;
        }
    config.kind = LayerKind::full;
    CHECK(golden_error(golden, run_time_major(Layer(config, weights), golden)) <= 1);
}

TEST_CASE("labml-nn's layer without biases is loaded", "[golden]") {
    const Golden golden = golden_named("labml_cross_causal_nobias");
    const LayerConfig config = config_from_weights(golden.path, {LayerKind::local});
    CHECK(config.window == 5);
    const Weights weights = load_weights(golden.path, config);
    CHECK(weights.query_bias.empty());
    CHECK(weights.key_weight == golden.floats("key.weight"));
    CHECK(weights.project_bias == golden.floats("output.bias"));
}

TEST_CASE("a trained network of FeatureBooster gives what it gave in float64", "[golden]") {
    const char *const path = std::getenv("AFT_FEATUREBOOSTER");
    if (!path)
        SKIP("AFT_FEATUREBOOSTER doesn't name a file; tests/data/README.md says what it holds");
    const SafetensorsFile file = read_safetensors(path);
    for (const std::string i : {"0", "1", "2", "3"}) {
        const LoadOptions layer_i{"attn_proj.layers." + i + ".attn."};
        const StoredTensor &input = file.tensors.at("layers." + i + ".aft_in");
        const std::vector<float> x = input.as_float();
        const std::vector<double> expected = file.tensors.at("layers." + i + ".aft_out_f64").as_double();
        const Shape shape{1, input.extents.at(0)};
        const LayerConfig config = config_from_weights(file, {LayerKind::simple, 0, 0, shape.seq, 0}, layer_i);
        const Weights weights = load_weights(file, config, layer_i);
        Reference reference = reference_forward(config, weights, x, shape);
        REQUIRE(reference.output.size() == expected.size());
        for (std::size_t at = 0; at < expected.size(); at++)
            CHECK(std::abs(reference.output[at] - expected[at]) <= 1e-6 * reference.tolerance[at]);
        reference.output = expected;
        for (const KernelInfo &kernel : kernels()) {
            if (!is_tested(kernel) || kernel.layer != config.kind || kernel.minimum.seq > shape.seq)
                continue;
            INFO(kernel.id << " on layer " << i);
            const double error = error_in_tolerances(reference, run(Layer(config, weights, {kernel.id}), x, shape));
            CAPTURE(error);
            CHECK(error <= allowed_tolerances(kernel));
        }
    }
}
