#include "golden.h"
#include "naming.h"
#include "parameters.h"
#include "problem.h"
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
        if (parameter.tensor.empty()) {
            continue;
        }
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
                if ((config.kind == LayerKind::local && naming.position_bias.empty()) || naming.project.empty() ||
                    naming.gate == Gate::none)
                    continue;
                INFO(naming.name << " at " << prefix);
                // FeatureBooster's names are LiftFeat's too.
                const std::string fits_two = naming.name == "featurebooster" ? "featurebooster" : "";
                SafetensorsFile expected, file;
                add_layer(expected, "", config, aft_pytorch);
                add_layer(file, prefix, config, naming);
                file.tensors["head.output.scale"] = stored_tensor({1}, {1});
                const Weights weights = load_weights(expected, config);
                check_same(weights, load_weights(file, config, {std::nullopt, fits_two}), config);
                check_same(weights, load_weights(file, config, {prefix, std::string(naming.name)}), config);
                const LayerConfig implied =
                    config_from_weights(file, {config.kind, 0, 0, 4, 2}, {std::nullopt, fits_two});
                CHECK(implied.hidden == 3);
                CHECK(implied.projected == 2);
                CHECK(implied.max_seq_len == 4);
                CHECK(implied.window == 2);
            }
}

TEST_CASE("a prefix chooses one layer of a network", "[weights]") {
    const SafetensorsFile file = boosting_network(simple);
    CHECK(load_weights(file, simple, {"attn_proj.layers.0.attn.", "featurebooster"}).key_bias ==
          std::vector<float>{7, 8});
    CHECK(load_weights(file, simple, {"attn_proj.layers.1.attn.", "featurebooster"}).key_bias ==
          std::vector<float>{-1, -2});
    CHECK(load_weights(file, simple, {"attn_proj.layers.1.attn.", "featurebooster"}).project_bias ==
          std::vector<float>{7, 8, 9});
    const std::string both = "\"attn_proj.layers.0.attn.\" (featurebooster), \"attn_proj.layers.1.attn.\" "
                             "(featurebooster)";
    const LoadOptions any{std::nullopt, "featurebooster"};
    CHECK_THROWS_AS(load_weights(file, simple, any), WeightsError);
    CHECK_THROWS_WITH(load_weights(file, simple, any),
                      "may have more than one layer, prefix or naming must choose: " + both);
    CHECK_THROWS_WITH(load_weights(file, simple),
                      "may have more than one layer, prefix or naming must choose: \"attn_proj.layers.0.attn.\" "
                      "(featurebooster or liftfeat), \"attn_proj.layers.1.attn.\" (featurebooster or liftfeat)");
    CHECK_THROWS_WITH(config_from_weights(file, simple, any), ContainsSubstring(both));
    CHECK_THROWS_WITH(load_weights(file, simple, {"attn_proj.layers.0.attn", "featurebooster"}),
                      "has no layer with prefix \"attn_proj.layers.0.attn\"; there are: " + both);
    CHECK_THROWS_WITH(load_weights(file, local, {"attn_proj.layers.0.attn.", "featurebooster"}),
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
                      "query.weight, key.weight, value.weight, proj.weight (featurebooster); "
                      "query.weight, key.weight, value.weight, proj.weight (liftfeat); "
                      "fc_q.weight, fc_k.weight, fc_v.weight (external-attention); has \"output.weight\"");
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "labml-nn"}),
                      "has no layer, looked for query.weight, key.weight, value.weight, output.weight (labml-nn); has "
                      "\"output.weight\"");
    CHECK_THROWS_AS(load_weights(file, simple, {std::nullopt, "keras"}), ConfigError);
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "keras"}),
                      "naming \"keras\" doesn't exist: must be one of aft-pytorch, labml-nn, featurebooster, liftfeat, "
                      "external-attention");

    file.tensors.clear();
    add_layer(file, "a.", simple, naming_table[1]);
    file.tensors.erase("a.output.weight");
    CHECK_THROWS_WITH(load_weights(file, simple), "layer \"a.\" fits labml-nn (sigmoid gate), featurebooster (sigmoid "
                                                  "gate) and liftfeat (no gate): naming must choose");
    CHECK_THROWS_WITH(load_weights(file, simple, {"a.", "featurebooster"}),
                      "layer \"a.\": proj.weight is missing, must be [3, 2]; \"output.bias\" is unexpected");
}

TEST_CASE("a layer that has a gate in one network and none in another is refused until the naming is said",
          "[weights]") {
    SafetensorsFile file;
    const Naming &featurebooster = naming_table[2];
    REQUIRE(featurebooster.name == "featurebooster");
    add_layer(file, "", simple, featurebooster);
    const std::string both = "fits featurebooster (sigmoid gate) and liftfeat (no gate): naming must choose";
    CHECK_THROWS_AS(load_weights(file, simple), WeightsError);
    CHECK_THROWS_WITH(load_weights(file, simple), both);
    CHECK_THROWS_WITH(config_from_weights(file, {LayerKind::simple}), both);
    CHECK(load_weights(file, simple, {std::nullopt, "featurebooster"}).query_weight.size() == 6);
    CHECK_THROWS_AS(load_weights(file, simple, {std::nullopt, "liftfeat"}), ConfigError);
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "liftfeat"}),
                      "has no gate (liftfeat): no kernel computes a layer without a gate yet");
}

TEST_CASE("a layer without an output projection puts out the gated mean", "[weights]") {
    const Naming &external = naming_table[4];
    REQUIRE(external.name == "external-attention");
    const LayerConfig square{LayerKind::full, /*hidden=*/5, /*projected=*/5, /*max_seq_len=*/4, 0};
    SafetensorsFile file;
    add_layer(file, "attn.", square, external);
    CHECK(file.tensors.size() == 7);
    const LayerConfig config = config_from_weights(file, {});
    CHECK(config.hidden == 5);
    CHECK(config.projected == 5);
    CHECK(config.max_seq_len == 4);
    const Weights weights = load_weights(file, square);
    CHECK(weights.position_bias == file.tensors.at("attn.position_biases").as_float());
    CHECK(weights.project_bias.empty());

    Weights with_small = weights;  // the gate and the exponentials of 1, 2, 3, ... would be 1 and one-hot
    for (const Parameter &parameter : parameters(square)) {
        if (parameter.values != &Weights::project_weight) {
            for (float &value : with_small.*parameter.values) {
                value = std::sin(value);
            }
        }
    }
    Weights rotated = with_small;  // by a row, so that channel h puts out what was channel h + 1
    std::rotate(rotated.project_weight.begin(), rotated.project_weight.begin() + 5, rotated.project_weight.end());
    const Shape shape{2, 3};
    const std::vector<float> x = make_input({square, shape});
    const Reference reference = reference_forward(square, with_small, x, shape);
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.layer != square.kind || !admits(kernel, {square, shape}))
            continue;
        INFO(kernel.id);
        const std::vector<float> y = run(Layer(square, with_small, {kernel.id}), x, shape);
        const std::vector<float> moved = run(Layer(square, rotated, {kernel.id}), x, shape);
        const double error = error_in_tolerances(reference, y);
        CAPTURE(error);
        CHECK(error <= allowed_tolerances(kernel));
        for (std::size_t row = 0; row < y.size(); row += 5)
            for (std::size_t h = 0; h < 5; h++)
                CHECK(moved[row + h] == y[row + (h + 1) % 5]);  // exactly the gated mean, whatever is summed around it
    }

    CHECK_THROWS_WITH(load_weights(file, {LayerKind::full, 5, 4, 4, 0}),
                      ContainsSubstring(
                          "external-attention has no output projection: projected is 4, must be hidden, 5"));
    file.tensors["attn.fc_q.weight"] = stored_tensor({3, 5}, std::vector<float>(15));
    CHECK_THROWS_WITH(
        config_from_weights(file, {}),
        "layer \"attn.\": external-attention has no output projection: projected is 3, must be hidden, 5");
}

TEST_CASE("a dot-product attention with the names of External-Attention is refused", "[weights]") {
    const LayerConfig square{LayerKind::simple, /*hidden=*/5, /*projected=*/5, /*max_seq_len=*/4, 0};
    for (const std::string prefix : {"", "attn."}) {
        SafetensorsFile file;
        add_layer(file, prefix, square, naming_table[4]);
        CHECK_NOTHROW(load_weights(file, square));
        file.tensors[prefix + "fc_o.weight"] = stored_tensor({5, 5}, std::vector<float>(25));
        CHECK_THROWS_WITH(load_weights(file, square), ContainsSubstring("\"fc_o.weight\" is unexpected"));
    }
}

TEST_CASE("the names of a layer's tensors may be given", "[weights]") {
    SafetensorsFile expected, file;
    add_layer(expected, "", local, aft_pytorch);
    Naming own = aft_pytorch;
    own.query = "attention.w_q";
    own.position_bias = "bias.W";
    add_layer(file, "b.", local, own);
    const std::map<std::string, std::string> names = {{"query", "attention.w_q"}, {"position_bias", "bias.W"}};
    const Weights weights = load_weights(expected, local);
    check_same(weights, load_weights(file, local, {std::nullopt, "", names}), local);
    check_same(weights, load_weights(file, local, {"b.", "aft-pytorch", names}), local);
    CHECK(config_from_weights(file, {}, {std::nullopt, "", names}).hidden == 3);
    CHECK_THROWS_WITH(load_weights(file, local, {std::nullopt, "labml-nn", names}),
                      "has no layer, looked for attention.w_q.weight, key.weight, value.weight, output.weight (the map "
                      "of names); has \"b.attention.w_q.bias\", \"b.attention.w_q.weight\", \"b.bias.W\", "
                      "\"b.project.bias\", \"b.project.weight\", \"b.to_k.bias\", \"b.to_k.weight\", "
                      "\"b.to_v.bias\", \"b.to_v.weight\"");

    SafetensorsFile labml;  // with a normalisation among its modules, and a mask under another name
    Naming changed = naming_table[1];
    add_layer(labml, "", local, changed);
    labml.tensors["band"] = mask(4, [](auto t, auto s) { return std::abs(t - s) < 2; });
    const LoadOptions with_band{std::nullopt, "labml-nn", {{"local_mask", "band"}}};
    CHECK(config_from_weights(labml, {LayerKind::local}, with_band).window == 2);

    file.tensors["b.norm.weight"] = stored_tensor({1}, {1});
    CHECK_THROWS_WITH(load_weights(file, local, {std::nullopt, "", names}),
                      "layer \"b.\": \"norm.weight\" is unexpected");
    std::map<std::string, std::string> with_norm = names;
    with_norm["beside"] = "norm";
    CHECK_NOTHROW(load_weights(file, local, {std::nullopt, "", with_norm}));
}

TEST_CASE("factors, and what a layer doesn't have, may be given by their names", "[weights]") {
    SafetensorsFile file;
    const LayerConfig square{LayerKind::full, /*hidden=*/2, /*projected=*/2, /*max_seq_len=*/4, 0};
    add_layer(file, "", square, aft_pytorch);
    file.tensors.erase("project.weight");
    file.tensors.erase("project.bias");
    file.tensors.erase("wbias");
    file.tensors["u"] = stored_tensor({4, 1}, {1, 2, 3, 4});
    file.tensors["v"] = stored_tensor({4, 1}, {5, 6, 7, 8});
    const LoadOptions options{std::nullopt, "", {{"project", ""}, {"target_factor", "u"}, {"source_factor", "v"}}};
    const Weights weights = load_weights(file, square, options);
    CHECK(weights.project_weight == std::vector<float>{1, 0, 0, 1});
    CHECK(weights.position_bias[4 + 2] == 14);
    CHECK_THROWS_WITH(load_weights(file, square, {std::nullopt, "", {{"project", ""}, {"position_bias", ""}}}),
                      "the map of names has no position bias, a full layer needs one");
}

TEST_CASE("a parameter that no layer has, and a layer without a key, can't be named", "[weights]") {
    SafetensorsFile file;
    add_layer(file, "", simple, aft_pytorch);
    CHECK_THROWS_AS(load_weights(file, simple, {std::nullopt, "", {{"to_q", "w_q"}}}), ConfigError);
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "", {{"to_q", "w_q"}}}),
                      "name of \"to_q\", which no layer has: must be one of query, key, value, project, position_bias, "
                      "target_factor, source_factor, local_mask, beside");
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "", {{"key", ""}}}),
                      "name of key is empty, every layer has one");
}

TEST_CASE("where no layer is found the file's names are listed, first those behind the prefix", "[weights]") {
    SafetensorsFile file;
    for (int i = 10; i < 40; i++) {
        file.tensors["a." + std::to_string(i)] = file.tensors["b." + std::to_string(i)] = stored_tensor({1}, {1});
    }
    CHECK_THROWS_WITH(load_weights(file, simple),
                      ContainsSubstring("; has \"a.10\", \"a.11\", ") && ContainsSubstring("\"a.29\", 40 more"));
    CHECK_THROWS_WITH(load_weights(file, simple, {"b."}),
                      ContainsSubstring("; has \"b.10\", ") && ContainsSubstring("\"b.29\", 10 more"));
    CHECK_THROWS_WITH(load_weights(SafetensorsFile{}, simple), ContainsSubstring("; has no tensor"));
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
        const LoadOptions layer_i{"attn_proj.layers." + i + ".attn.", "featurebooster"};
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
