#include "named_layer.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a layer without an output projection puts out the gated mean", "[weights]") {
    const Naming &external = naming_table[4];
    REQUIRE(external.name == "external-attention");
    const LayerConfig square{aft_full, /*hidden=*/5, /*projected=*/5, /*max_seq_len=*/4, 0};
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
        if (!is_tested(kernel) || kernel.operation != "forward" || kernel.layer != square.form ||
            !can_run(kernel, {square, shape})) {
            continue;
        }
        INFO(kernel.id);
        const std::vector<float> y = run(Layer(square, with_small, {kernel.id}), x, shape);
        const std::vector<float> moved = run(Layer(square, rotated, {kernel.id}), x, shape);
        const double error = error_in_tolerances(reference, y);
        CAPTURE(error);
        CHECK(error <= allowed_tolerances(kernel));
        for (std::size_t row = 0; row < y.size(); row += 5) {
            for (std::size_t h = 0; h < 5; ++h) {
                CHECK(moved[row + h] == y[row + (h + 1) % 5]);  // exactly the gated mean, whatever is summed around it
            }
        }
    }

    CHECK_THROWS_WITH(load_weights(file, {aft_full, 5, 4, 4, 0}),
                      ContainsSubstring(
                          "external-attention has no output projection: projected is 4, must be hidden, 5"));
    file.tensors["attn.fc_q.weight"] = stored_tensor({3, 5}, std::vector<float>(15));
    CHECK_THROWS_WITH(
        config_from_weights(file, {}),
        "layer \"attn.\": external-attention has no output projection: projected is 3, must be hidden, 5");
}

TEST_CASE("a dot-product attention with the names of External-Attention is refused", "[weights]") {
    const LayerConfig square{aft_simple, /*hidden=*/5, /*projected=*/5, /*max_seq_len=*/4, 0};
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
                      "has no layer: looked for attention.w_q.weight, key.weight, value.weight, output.weight (the map "
                      "of names); the file has \"b.attention.w_q.bias\", \"b.attention.w_q.weight\", \"b.bias.W\", "
                      "\"b.project.bias\", \"b.project.weight\", \"b.to_k.bias\", \"b.to_k.weight\", "
                      "\"b.to_v.bias\", \"b.to_v.weight\"");

    SafetensorsFile labml;  // with a normalisation among its modules, and a mask under another name
    Naming changed = naming_table[1];
    add_layer(labml, "", local, changed);
    labml.tensors["band"] = mask(4, [](auto t, auto s) { return std::abs(t - s) < 2; });
    const LoadOptions with_band{std::nullopt, "labml-nn", {{"local_mask", "band"}}};
    CHECK(config_from_weights(labml, {aft_local}, with_band).window == 2);

    file.tensors["b.norm.weight"] = stored_tensor({1}, {1});
    CHECK_THROWS_WITH(load_weights(file, local, {std::nullopt, "", names}),
                      "layer \"b.\": \"norm.weight\" is unexpected");
    std::map<std::string, std::string> with_norm = names;
    with_norm["beside"] = "norm";
    CHECK_NOTHROW(load_weights(file, local, {std::nullopt, "", with_norm}));
}

TEST_CASE("factors, and what a layer doesn't have, may be given by their names", "[weights]") {
    SafetensorsFile file;
    const LayerConfig square{aft_full, /*hidden=*/2, /*projected=*/2, /*max_seq_len=*/4, 0};
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
                      "parameter \"to_q\" doesn't exist: must be one of query, key, value, project, position_bias, "
                      "target_factor, source_factor, local_mask, beside");
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "", {{"key", ""}}}),
                      "the name of key is empty, every layer has a key");
}

TEST_CASE("where no layer is found the file's names are listed, first those behind the prefix", "[weights]") {
    SafetensorsFile file;
    for (int i = 10; i < 40; ++i) {
        file.tensors["a." + std::to_string(i)] = file.tensors["b." + std::to_string(i)] = stored_tensor({1}, {1});
    }
    CHECK_THROWS_WITH(load_weights(file, simple), ContainsSubstring("; the file has \"a.10\", \"a.11\", ") &&
                                                      ContainsSubstring("\"a.29\", 40 more"));
    CHECK_THROWS_WITH(load_weights(file, simple, {"b."}),
                      ContainsSubstring("; the file has \"b.10\", ") && ContainsSubstring("\"b.29\", 10 more"));
    CHECK_THROWS_WITH(load_weights(SafetensorsFile{}, simple), ContainsSubstring("; the file has no tensor"));
}
