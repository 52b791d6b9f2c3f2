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

TEST_CASE("a network without an output projection gives weights without one", "[weights]") {
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

    CHECK(weights.project_weight.empty());
    CHECK_NOTHROW(check_weights(weights, square));

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
    CHECK(weights.project_weight.empty());
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
                      "target_factor, source_factor, local_mask, filter, decay, log_decay, bonus, beside");
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
