#include "named_layer.h"
#include "weights/gates.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstdlib>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

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

}  // namespace

TEST_CASE("a layer is found by the names of any network, wherever it is", "[weights]") {
    for (const LayerConfig &config : {simple, local}) {
        for (const Naming &naming : naming_table) {
            for (const std::string prefix : {"", "attn.", "blocks.0.attn."}) {
                if ((config.form.has_window() && naming.position_bias.empty()) || naming.project.empty()) {
                    continue;
                }
                INFO(naming.name << " at " << prefix);
                // FeatureBooster's names are LiftFeat's too.
                const std::string fits_two =
                    naming.query == "query" && naming.project == "proj" ? std::string(naming.name) : "";
                LayerConfig with_gate = config;
                with_gate.form.gate = naming.gate.value();
                SafetensorsFile expected, file;
                add_layer(expected, "", config, aft_pytorch);
                add_layer(file, prefix, config, naming);
                file.tensors["head.output.scale"] = stored_tensor({1}, {1});
                const Weights weights = load_weights(expected, config);
                check_same(weights, load_weights(file, with_gate, {std::nullopt, fits_two}), config);
                check_same(weights, load_weights(file, with_gate, {prefix, std::string(naming.name)}), config);
                const LayerConfig implied =
                    config_from_weights(file, {config.form, 0, 0, 4, 2}, {std::nullopt, fits_two});
                CHECK(implied.form == with_gate.form);
                CHECK(implied.hidden == 3);
                CHECK(implied.key_hidden == 0);
                CHECK(implied.value_hidden == 0);
                CHECK(implied.projected == 2);
                CHECK(implied.max_seq_len == 4);
                CHECK(implied.window == 2);
            }
        }
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
                      "may have more than one layer, choose one by prefix or naming: " + both);
    CHECK_THROWS_WITH(load_weights(file, simple),
                      "may have more than one layer, choose one by prefix or naming: \"attn_proj.layers.0.attn.\" "
                      "(featurebooster or liftfeat), \"attn_proj.layers.1.attn.\" (featurebooster or liftfeat)");
    CHECK_THROWS_WITH(config_from_weights(file, simple, any), ContainsSubstring(both));
    CHECK_THROWS_WITH(load_weights(file, simple, {"attn_proj.layers.0.attn", "featurebooster"}),
                      "has no layer with prefix \"attn_proj.layers.0.attn\"; the file has " + both);
    CHECK_THROWS_WITH(load_weights(file, local, {"attn_proj.layers.0.attn.", "featurebooster"}),
                      "layer \"attn_proj.layers.0.attn.\": featurebooster has no position bias, a local layer needs "
                      "one");
}

TEST_CASE("a layer that isn't there, or might be of two networks, is refused with what was looked for", "[weights]") {
    SafetensorsFile file;
    file.tensors["output.weight"] = stored_tensor({2, 2}, {1, 2, 3, 4});  // the head of a network
    CHECK_THROWS_AS(load_weights(file, simple), WeightsError);
    CHECK_THROWS_WITH(load_weights(file, simple),
                      "has no layer: looked for to_q.weight, to_k.weight, to_v.weight, project.weight (aft-pytorch); "
                      "query.weight, key.weight, value.weight, output.weight (labml-nn); "
                      "query.weight, key.weight, value.weight, proj.weight (featurebooster); "
                      "query.weight, key.weight, value.weight, proj.weight (liftfeat); "
                      "fc_q.weight, fc_k.weight, fc_v.weight (external-attention); "
                      "receptance.weight, key.weight, value.weight, output.weight (rwkv-4); "
                      "the file has \"output.weight\"");
    CHECK_THROWS_WITH(
        load_weights(file, simple, {std::nullopt, "labml-nn"}),
        "has no layer: looked for query.weight, key.weight, value.weight, output.weight (labml-nn); the file has "
        "\"output.weight\"");
    CHECK_THROWS_AS(load_weights(file, simple, {std::nullopt, "keras"}), ConfigError);
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "keras"}),
                      "naming \"keras\" doesn't exist: must be one of aft-pytorch, labml-nn, featurebooster, liftfeat, "
                      "external-attention, rwkv-4");

    file.tensors.clear();
    add_layer(file, "a.", simple, naming_table[1]);
    file.tensors.erase("a.output.weight");
    CHECK_THROWS_WITH(load_weights(file, simple),
                      "layer \"a.\" fits labml-nn (gate sigmoid), featurebooster (gate sigmoid) and liftfeat (gate "
                      "identity): choose one by naming or gate");
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "", {}, Gate::sigmoid}),
                      "layer \"a.\" fits labml-nn (gate sigmoid) and featurebooster (gate sigmoid): choose one by "
                      "naming");
    CHECK_THROWS_WITH(load_weights(file, simple, {"a.", "featurebooster"}),
                      "layer \"a.\": proj.weight is missing, must be [3, 2]; \"output.bias\" is unexpected");
}

TEST_CASE("a layer with the names of two networks of different gates is refused until the network or the gate is said",
          "[weights]") {
    SafetensorsFile file;
    const Naming &featurebooster = naming_table[2], &liftfeat = naming_table[3];
    REQUIRE(featurebooster.name == "featurebooster");
    REQUIRE(liftfeat.name == "liftfeat");
    add_layer(file, "", simple, featurebooster);
    const std::string both =
        "fits featurebooster (gate sigmoid) and liftfeat (gate identity): choose one by naming or gate";
    CHECK_THROWS_AS(load_weights(file, simple), WeightsError);
    CHECK_THROWS_WITH(load_weights(file, simple), both);
    CHECK_THROWS_WITH(config_from_weights(file, {aft_simple}), both);
    const LayerForm form{PositionBias::none};
    const auto implied = [&](const LoadOptions &options) {
        return config_from_weights(file, {form, 0, 0, 4, 0}, options);
    };
    CHECK(implied({std::nullopt, "featurebooster"}).form.gate == Gate::sigmoid);
    CHECK(implied({std::nullopt, "liftfeat"}).form.gate == Gate::identity);
    for (const Gate gate : {Gate::sigmoid, Gate::identity}) {
        const LoadOptions options{std::nullopt, "", {}, gate};
        const LayerConfig config = implied(options);
        CHECK(config.form.gate == gate);
        CHECK(load_weights(file, config, options).query_weight.size() == 6);
    }
    // A gate that neither network has doesn't say which of them it is.
    CHECK_THROWS_WITH(implied({std::nullopt, "", {}, Gate::tanh}),
                      "fits featurebooster (gate sigmoid) and liftfeat (gate identity): choose one by naming");
    CHECK(implied({std::nullopt, "liftfeat", {}, Gate::tanh}).form.gate == Gate::tanh);

    file.tensors["layer_norm.weight"] = stored_tensor({3}, {1, 1, 1});  // which FeatureBooster alone has
    CHECK_NOTHROW(implied({std::nullopt, "featurebooster"}));
    SafetensorsFile network;
    for (const auto &[name, tensor] : file.tensors) {
        network.tensors["attn." + name] = tensor;
    }
    CHECK_NOTHROW(config_from_weights(network, {form}, {std::nullopt, "featurebooster"}));
    CHECK_THROWS_WITH(config_from_weights(network, {form}, {std::nullopt, "liftfeat"}),
                      "layer \"attn.\": \"layer_norm.weight\" is unexpected");
}

TEST_CASE("a config with another gate than the network is refused", "[weights]") {
    SafetensorsFile file;
    add_layer(file, "a.", simple, aft_pytorch);
    LayerConfig config = simple;
    for (const Gate gate : {Gate::tanh, Gate::none, Gate::identity}) {
        config.form.gate = gate;
        const std::string name(name_of(gate));
        CHECK_THROWS_AS(load_weights(file, config), ConfigError);
        CHECK_THROWS_WITH(load_weights(file, config),
                          "layer \"a.\" has gate sigmoid (aft-pytorch), the config has gate " + name);
        const LoadOptions options{std::nullopt, "", {}, gate};
        CHECK(config_from_weights(file, simple, options).form == config.form);
        CHECK(load_weights(file, config, options).query_weight.empty() == (gate == Gate::none));
        CHECK_THROWS_WITH(load_weights(file, simple, options),
                          "layer \"a.\" has gate " + name + " (aft-pytorch), the config has gate sigmoid");
    }
}

TEST_CASE("names of the caller's own say no gate, but a naming beside them does", "[weights]") {
    SafetensorsFile file;
    add_layer(file, "", simple, naming_table[3]);
    const std::map<std::string, std::string> names = {{"query", "query"},
                                                      {"key", "key"},
                                                      {"value", "value"},
                                                      {"project", "proj"}};
    LayerConfig config = simple;
    config.form.gate = Gate::tanh;
    CHECK(config_from_weights(file, config, {std::nullopt, "", names}).form.gate == Gate::tanh);
    CHECK_NOTHROW(load_weights(file, config, {std::nullopt, "", names}));
    CHECK(config_from_weights(file, config, {std::nullopt, "liftfeat", names}).form.gate == Gate::identity);
    CHECK_THROWS_WITH(load_weights(file, config, {std::nullopt, "liftfeat", names}),
                      "has gate identity (the map of names), the config has gate tanh");
}

TEST_CASE("a layer without a gate needs no query, and leaves one unread", "[weights]") {
    const LayerConfig config{{PositionBias::none, Reach::all, Gate::none}, 3, 2, 4, 0};
    SafetensorsFile file;
    add_layer(file, "", simple, aft_pytorch);
    file.tensors["to_q.weight"] = stored_tensor({1}, {NAN});
    const LoadOptions without{std::nullopt, "", {}, Gate::none};
    const LayerConfig implied = config_from_weights(file, simple, without);
    CHECK(implied.form == config.form);
    CHECK(implied.hidden == 3);
    CHECK(implied.projected == 2);
    CHECK(load_weights(file, config, without).query_weight.empty());
    CHECK(load_weights(file, config, without).key_weight.size() == 6);
    file.tensors.erase("to_q.weight");
    file.tensors.erase("to_q.bias");
    CHECK_NOTHROW(load_weights(file, config, without));
    const LoadOptions unnamed{std::nullopt, "", {{"query", ""}}, Gate::none};
    CHECK(config_from_weights(file, simple, unnamed).projected == 2);
    CHECK_NOTHROW(load_weights(file, config, unnamed));
    CHECK_THROWS_AS(load_weights(file, simple, {std::nullopt, "", {{"query", ""}}}), ConfigError);
    CHECK_THROWS_WITH(load_weights(file, simple, {std::nullopt, "", {{"query", ""}}}),
                      "the name of query is empty, only a layer without a gate has none");
}

TEST_CASE("a prefix is a module's, or what it is said to be", "[weights]") {
    SafetensorsFile file;
    add_layer(file, "relative_", simple, naming_table[1]);
    CHECK_THROWS_WITH(load_weights(file, simple), ContainsSubstring("has no layer: looked for"));
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
    CHECK(config_from_weights(file, {aft_local, 0, 0, 0, 99}).window == 2);
    CHECK_NOTHROW(load_weights(file, local));
    CHECK_THROWS_WITH(load_weights(file, {aft_local, 3, 2, 4, 3}), "local_mask has window 2, must have 3");
    CHECK_THROWS_WITH(load_weights(file, {aft_full, 3, 2, 4, 0}), "local_mask has window 2, must have 4");

    CHECK_THROWS_WITH(load_weights(file, simple), R"("local_mask" is unexpected; "pos_bias" is unexpected)");

    file.tensors["local_mask"] = mask(4, [](auto, auto) { return true; });
    CHECK(config_from_weights(file, {aft_local}).window == 4);
    CHECK_NOTHROW(load_weights(file, {aft_local, 3, 2, 4, 100}));
    CHECK_NOTHROW(load_weights(file, {aft_full, 3, 2, 4, 0}));
    file.tensors["local_mask"] = mask(4, [](auto, auto) { return false; });
    CHECK(config_from_weights(file, {aft_local}).window == 0);

    file.tensors["local_mask"] = mask(4, [](auto t, auto s) { return s <= t && t - s < 2; });
    const std::string one_sided = "local_mask is true at [1, 0], must be |t - t'| < 1 as in its first row";
    CHECK_THROWS_WITH(config_from_weights(file, {aft_local}), one_sided);
    CHECK_THROWS_WITH(load_weights(file, local), one_sided);
    file.tensors["local_mask"] = mask(3, [](auto, auto) { return true; });
    CHECK_THROWS_WITH(load_weights(file, local), "local_mask is BOOL [3, 3], must be BOOL [4, 4]");
    file.tensors["local_mask"] = stored_tensor({4, 4}, std::vector<float>(16));
    CHECK_THROWS_WITH(load_weights(file, local), "local_mask is F32 [4, 4], must be BOOL [4, 4]");
}
