#include "named_layer.h"
#include "weights/bias_range.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

LayerConfig small(LayerForm form) {
    LayerConfig config{form, /*hidden=*/3, /*projected=*/4, /*max_seq_len=*/5, /*window=*/form.has_window() ? 3 : 0};
    config.heads = form.bias == PositionBias::convolution ? 2 : 1;
    return config;
}

Weights zeros(const LayerConfig &config) {
    Weights weights;
    for (const Parameter &parameter : parameters(config)) {
        (weights.*parameter.values).assign(parameter.size(), 0);
    }
    return weights;
}

void check_config_refused(const LayerConfig &config, const std::string &problem) {
    CHECK_THROWS_AS(check_config(config), ConfigError);
    CHECK_THROWS_WITH(check_config(config), problem);
}

const Naming &rwkv() {
    return naming_table[5];
}

}  // namespace

TEST_CASE("every form's parameters are loaded from a file that has them", "[weights]") {
    for (const NamedForm &named : named_forms) {
        INFO(named.name);
        const LayerConfig config = small(named.form);
        SafetensorsFile file;
        add_layer(file, "", config, aft_pytorch);
        Weights weights = load_weights(file, config);
        CHECK_NOTHROW(check_weights(weights, config));
        for (const Parameter &parameter : parameters(config)) {
            INFO(parameter.tensor);
            CHECK(weights.*parameter.values == file.tensors.at(parameter.tensor).as_float());
            CHECK(widest_bias_range(weights, config).range >= 0);
            if (!parameter.optional) {
                SafetensorsFile without = file;
                without.tensors.erase(parameter.tensor);
                CHECK_THROWS_WITH(load_weights(without, config), ContainsSubstring(parameter.tensor + " is missing"));
            }
        }
        const LayerConfig implied = config_from_weights(file, {named.form, 0, 0, 5, 3});
        CHECK(implied.form == config.form);
        CHECK(implied.hidden == 3);
        CHECK(implied.projected == 4);
        CHECK(implied.heads == config.heads);
        CHECK(implied.window == 3);
    }
}

TEST_CASE("a tensor of another form's position bias is refused", "[weights]") {
    for (const NamedForm &named : named_forms) {
        const LayerConfig config = small(named.form);
        SafetensorsFile file;
        add_layer(file, "", config, aft_pytorch);
        for (const char *other : {"wbias", "filter", "decay", "log_decay", "bonus"}) {
            INFO(named.name << " with " << other);
            if (file.tensors.count(other) == 0) {
                SafetensorsFile with_other = file;
                with_other.tensors[other] = stored_tensor({1}, {1});
                CHECK_THROWS_WITH(load_weights(with_other, config), "\"" + std::string(other) + "\" is unexpected");
            }
        }
    }
}

TEST_CASE("the parameters of the mean alone are checked without those of projections", "[weights]") {
    for (const NamedForm &named : named_forms) {
        INFO(named.name);
        LayerConfig config = small(named.form);
        config.hidden = 0;
        CHECK_NOTHROW(check_core_config(config));
        CHECK_THROWS_AS(check_config(config), ConfigError);
        Weights weights = zeros(config);
        weights.key_weight.clear();
        CHECK_NOTHROW(check_core_weights(weights, config));
        for (const Parameter &parameter : core_parameters(config)) {
            Weights wrong = weights;
            (wrong.*parameter.values).pop_back();
            CHECK_THROWS_WITH(check_core_weights(wrong, config), StartsWith(parameter.tensor + " has "));
            wrong = weights;
            (wrong.*parameter.values).back() = infinity;
            CHECK_THROWS_WITH(check_core_weights(wrong, config), StartsWith(parameter.tensor + " has inf"));
        }
    }
}

TEST_CASE("a decay below 0 and masks that are no position bias are refused", "[weights]") {
    const LayerConfig config = small(aft_wkv);
    Weights weights = zeros(config);
    weights.decay = {0, 0.5f, -0.5f, 1};
    weights.bonus = {0, 0, 0, -infinity};
    CHECK_THROWS_AS(check_weights(weights, config), WeightsError);
    CHECK_THROWS_WITH(
        check_weights(weights, config),
        "decay has -0.500000 at [2], must be finite and at least 0; bonus has -inf at [3], must be finite");
    Weights masked = zeros(small(aft_conv));
    masked.position_bias[4] = -infinity;
    CHECK_NOTHROW(check_weights(masked, small(aft_conv)));
    masked.position_bias[4] = NAN;
    CHECK_THROWS_WITH(check_weights(masked, small(aft_conv)), "filter has nan at [1, 1], must be finite or -inf");
}

TEST_CASE("members of a config that make no sense are refused", "[weights]") {
    LayerConfig config = small(aft_conv);
    config.window = 0;
    check_config_refused(config, "window is 0, must be 1 to 2147483647");
    config.window = std::numeric_limits<std::int64_t>::max();
    check_config_refused(config, "window is 9223372036854775807, must be 1 to 2147483647");
    config.window = 1'500'000'000;
    CHECK_THROWS_AS(check_config(config), ShapeError);
    CHECK_THROWS_WITH(check_config(config), "filter [2, 1500000000] has 3000000000 elements, the limit is 2147483647");
    config = small(aft_conv);
    config.heads = 0;
    check_config_refused(config, "heads is 0, must be 1 to 2147483647");
    config.heads = 3;
    check_config_refused(config, "heads is 3, must divide projected, 4");
    config = small(aft_simple);
    config.heads = 3;  // of convolutions only
    CHECK_NOTHROW(check_config(config));
    config.key_hidden = -1;
    check_config_refused(config, "key_hidden is -1, must be 0 to 2147483647");
    config.key_hidden = 0;
    config.value_hidden = -2;
    check_config_refused(config, "value_hidden is -2, must be 0 to 2147483647");
    config = small({PositionBias::none, Reach::all, static_cast<Gate>(7)});
    check_config_refused(config, "gate is 7, must be one of sigmoid, tanh, none, identity");
}

TEST_CASE("keys and values may have inputs of their own widths", "[weights]") {
    LayerConfig config = small(aft_simple);
    for (const auto &[key, value] : {std::pair{0, 0}, {0, 6}, {7, 0}, {7, 3}, {7, 6}}) {
        INFO(key << ", " << value);
        config.key_hidden = key;
        config.value_hidden = value;
        SafetensorsFile file;
        add_layer(file, "", config, aft_pytorch);
        CHECK(file.tensors.at("to_k.weight").extents[1] == key_hidden(config));
        CHECK(file.tensors.at("to_v.weight").extents[1] == value_hidden(config));
        CHECK(value_hidden(config) == (value != 0 ? value : key != 0 ? key : 3));
        const LayerConfig implied = config_from_weights(file, {aft_simple, 0, 0, 5, 0});
        CHECK(implied.key_hidden == key);
        CHECK(implied.value_hidden == value);
        CHECK_NOTHROW(check_weights(load_weights(file, config), config));
    }
    CHECK_THROWS_WITH(load_weights(
                          [&] {
                              SafetensorsFile file;
                              add_layer(file, "", config, aft_pytorch);
                              return file;
                          }(),
                          small(aft_simple)),
                      "to_k.weight is [4, 7], must be [4, 3]; to_v.weight is [4, 6], must be [4, 3]");
}

TEST_CASE("a layer without an output projection has as many channels inside as outside, and no bias", "[weights]") {
    LayerConfig config = small(aft_simple);
    Weights weights = zeros(config);
    weights.project_weight.clear();
    CHECK_THROWS_WITH(check_weights(weights, config), "project.weight has 0 values, must be [3, 4]");
    config.hidden = 4;
    weights = zeros(config);
    weights.project_weight.clear();
    CHECK_THROWS_WITH(check_weights(weights, config), "project.weight has 0 values, must be [4, 4]");
    weights.project_bias.clear();
    CHECK_NOTHROW(check_weights(weights, config));
}

TEST_CASE("a decay may be stored as its logarithm", "[weights]") {
    const LayerConfig config = small(aft_wkv);
    SafetensorsFile file;
    add_layer(file, "", config, aft_pytorch);
    file.tensors["log_decay"] = stored_tensor({4}, {-infinity, 0, 1, -3.5f});
    CHECK_THROWS_WITH(load_weights(file, config), "\"log_decay\" is unexpected");
    file.tensors.erase("decay");
    CHECK(load_weights(file, config).decay ==
          std::vector<float>{0, 1, static_cast<float>(std::exp(1.0)), static_cast<float>(std::exp(-3.5))});
    file.tensors["log_decay"] = stored_tensor({4}, {0, 0, 89, 0});
    CHECK_THROWS_WITH(load_weights(file, config), "exp(log_decay) has inf at [2], must be finite and at least 0");
    file.tensors["log_decay"] = stored_tensor({4}, {0, infinity, 0, NAN});
    CHECK_THROWS_WITH(load_weights(file, config), "log_decay has inf at [1], must be finite or -inf");
    file.tensors.erase("log_decay");
    CHECK_THROWS_WITH(load_weights(file, config), "decay is missing, must be [4]");
}

TEST_CASE("the time mixing of RWKV-4 is found among its other modules", "[weights]") {
    LayerConfig config = small(aft_wkv);
    config.hidden = config.projected;
    SafetensorsFile file;
    const std::string block = "blocks.3.att.";
    add_layer(file, block, config, rwkv());
    file.tensors[block + "time_decay"] = stored_tensor({4}, {0, -1, 2, -3});
    for (const std::string module : {"key", "receptance", "value"}) {  // its channel mixing has no output
        file.tensors["blocks.3.ffn." + module + ".weight"] = stored_tensor({4, 4}, std::vector<float>(16));
    }
    const Weights weights = load_weights(file, config);
    CHECK(weights.query_weight == file.tensors.at(block + "receptance.weight").as_float());
    CHECK(weights.bonus == file.tensors.at(block + "time_first").as_float());
    CHECK(weights.decay[1] == static_cast<float>(std::exp(-1.0)));
    CHECK(config_from_weights(file, {aft_wkv}).form == aft_wkv);
    CHECK_THROWS_WITH(load_weights(file, small(aft_simple)), ContainsSubstring("\"time_decay\" is unexpected"));
    CHECK_THROWS_WITH(load_weights(file, small(aft_conv)),
                      ContainsSubstring("rwkv-4 has no filter, a conv layer needs one"));

    for (const std::string input :
         {"k", "r", "v"}) {  // what makes the three inputs is the caller's to compute, and to say
        file.tensors[block + "time_mix_" + input] = stored_tensor({1, 1, 4}, std::vector<float>(4));
    }
    CHECK_THROWS_WITH(load_weights(file, config),
                      "layer \"blocks.3.att.\": \"time_mix_k\" is unexpected; \"time_mix_r\" "
                      "is unexpected; \"time_mix_v\" is unexpected");
    const LoadOptions beside{std::nullopt, "rwkv-4", {{"beside", "time_mix_"}}};
    CHECK(load_weights(file, config, beside).decay == weights.decay);
    file.tensors.erase(block + "time_decay");
    CHECK_THROWS_WITH(load_weights(file, config, beside),
                      "layer \"blocks.3.att.\": time_decay is missing, must be [4]");
}

TEST_CASE("a network without a parameter of the form is refused by its name", "[weights]") {
    const LayerConfig base = small(aft_simple);
    SafetensorsFile file;
    add_layer(file, "", base, naming_table[1]);
    for (const auto &[form, problem] : {std::pair(aft_conv, "labml-nn has no filter, a conv layer needs one"),
                                        std::pair(aft_wkv, "labml-nn has no decay, a wkv layer needs one")}) {
        CHECK_THROWS_WITH(load_weights(file, small(form)), ContainsSubstring(problem));
    }
    CHECK_THROWS_WITH(config_from_weights(file, {aft_conv}), "labml-nn has no filter, a conv layer needs one");
}
