#include "temporary_file.h"
#include "weights/bias_range.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/layer.h>
#include <aft/safetensors.h>
#include <aft/weights.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

LayerConfig small(LayerForm form) {
    return {form, /*hidden=*/3, /*projected=*/2, /*max_seq_len=*/4, /*window=*/form.has_window() ? 2 : 0};
}

/// Every value is different: 1, 2, 3, ...
SafetensorsFile checkpoint(const LayerConfig &config) {
    SafetensorsFile file;
    float next = 1;
    for (const Parameter &parameter : parameters(config)) {
        std::vector<float> values(parameter.size());
        std::iota(values.begin(), values.end(), next);
        next += static_cast<float>(values.size());
        file.tensors[parameter.tensor] = stored_tensor(parameter.extents, values);
    }
    return file;
}

Weights load(const SafetensorsFile &file, const LayerConfig &config) {
    const TemporaryFile at;
    write_safetensors(at.path(), file);
    return load_weights(at.path(), config);
}

Weights zeros(const LayerConfig &config) {
    Weights weights;
    for (const Parameter &parameter : parameters(config)) {
        (weights.*parameter.values).assign(parameter.size(), 0);
    }
    return weights;
}

float range_of(const std::vector<float> &row, const LayerConfig &config, std::int64_t target) {
    Weights weights = zeros(config);
    std::copy(row.begin(), row.end(), weights.position_bias.begin() + target * config.max_seq_len);
    const BiasRange widest = widest_bias_range(weights, config);
    CHECK(widest.row == (widest.range > 0 ? target : 0));
    return widest.range;
}

}  // namespace

TEST_CASE("weights are loaded by the names of aft-pytorch's state_dict", "[weights]") {
    const LayerConfig config = small(aft_full);
    const Weights weights = load(checkpoint(config), config);
    CHECK(weights.query_weight == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(weights.query_bias == std::vector<float>{7, 8});
    CHECK(weights.key_weight.front() == 9);
    CHECK(weights.key_bias.front() == 15);
    CHECK(weights.value_weight.front() == 17);
    CHECK(weights.value_bias.front() == 23);
    CHECK(weights.project_weight == std::vector<float>{25, 26, 27, 28, 29, 30});
    CHECK(weights.project_bias == std::vector<float>{31, 32, 33});
    CHECK(weights.position_bias.front() == 34);
    CHECK(weights.position_bias.size() == 16);
}

TEST_CASE("biases may be missing, and tensors of others may be there", "[weights]") {
    const LayerConfig config = small(aft_simple);
    SafetensorsFile file = checkpoint(config);
    for (const char *name : {"to_q.bias", "to_k.bias", "to_v.bias", "project.bias"}) {
        file.tensors.erase(name);
    }
    file.tensors["ln.weight"] = {"F16", {1}, std::vector<std::byte>(2)};
    const Weights weights = load(file, config);
    CHECK(weights.query_bias.empty());
    CHECK(weights.project_bias.empty());
    CHECK(weights.position_bias.empty());
}

TEST_CASE("everything that is wrong with a checkpoint is said at once", "[weights]") {
    const LayerConfig config = small(aft_full);
    SafetensorsFile file = checkpoint(config);
    file.tensors.erase("to_q.weight");
    file.tensors["to_k.weight"] = stored_tensor({3, 2}, std::vector<float>(6));
    file.tensors["to_v.weight"].dtype = "I32";
    file.tensors["wbias"] = stored_tensor({5, 5}, std::vector<float>(25));
    CHECK_THROWS_AS(load(file, config), WeightsError);
    CHECK_THROWS_WITH(
        load(file, config),
        ContainsSubstring(
            "file.safetensors: to_q.weight is missing, must be [2, 3]; "
            "to_k.weight is [3, 2], must be [2, 3]; to_v.weight: dtype is \"I32\", must be F32, F16, BF16, F64, "
            "F8_E4M3 or F8_E5M2; "
            "wbias is [5, 5], must be [4, 4]"));
}

TEST_CASE("what a layer has no use for is refused in its modules, and under a prefix everywhere", "[weights]") {
    const LayerConfig config = small(aft_simple);
    SafetensorsFile file = checkpoint(config);
    file.tensors["input"] = file.tensors["to_qk.weight"] = stored_tensor({1}, {1});
    CHECK_NOTHROW(load(file, config));
    file.tensors["to_q.weight_g"] = file.tensors["project.0\n.weight"] = file.tensors["wbias"] =
        stored_tensor({1}, {1});
    CHECK_THROWS_WITH(load(file, config),
                      ContainsSubstring(R"(: "project.0\n.weight" is unexpected; "to_q.weight_g" is unexpected; )"
                                        R"("wbias" is unexpected)"));

    SafetensorsFile network;
    for (const auto &[name, tensor] : checkpoint(config).tensors) {
        network.tensors["blocks.1." + name] = tensor;
    }
    network.tensors["blocks.10.scale"] = network.tensors["blocks.0.scale"] = stored_tensor({1}, {1});
    CHECK_NOTHROW(load_weights(network, config));
    network.tensors["blocks.1.scale"] = stored_tensor({1}, {1});
    network.tensors.erase("blocks.1.project.weight");
    CHECK_THROWS_WITH(load_weights(network, config),
                      R"(layer "blocks.1.": project.weight is missing, must be [3, 2]; "scale" is unexpected)");
}

TEST_CASE("of very many problems the first are listed", "[weights]") {
    const LayerConfig config = small(aft_simple);
    SafetensorsFile file = checkpoint(config);
    for (int i = 0; i < 1000; ++i) {
        file.tensors["to_q." + std::to_string(i)] = stored_tensor({1}, {1});
    }
    CHECK_THROWS_WITH(load_weights(file, config), ContainsSubstring("\"to_q.0\" is unexpected; ") &&
                                                      ContainsSubstring("; 980 more") &&
                                                      !ContainsSubstring("to_q.999"));
}

TEST_CASE("tensors of 16 and 64 bits become weights", "[weights]") {
    const LayerConfig config = small(aft_full);
    SafetensorsFile file = checkpoint(config);
    const auto replace = [&file](const std::string &name, const std::string &dtype, auto value) {
        StoredTensor &tensor = file.tensors.at(name);
        const std::size_t count = std::accumulate(tensor.extents.begin(), tensor.extents.end(), 1, std::multiplies<>());
        tensor = {dtype, tensor.extents, std::vector<std::byte>(count * sizeof value)};
        for (std::size_t i = 0; i < count; ++i) {
            std::memcpy(&tensor.bytes[i * sizeof value], &value, sizeof value);
        }
    };
    replace("to_q.weight", "F16", std::uint16_t{0xc100});
    replace("to_k.weight", "BF16", std::uint16_t{0x3fc0});
    replace("to_v.weight", "F64", 1 + 0x1p-23 + 0x1p-24);
    replace("wbias", "F64", -1e300);
    const Weights weights = load(file, config);
    CHECK(weights.query_weight == std::vector<float>(6, -2.5f));
    CHECK(weights.key_weight == std::vector<float>(6, 1.5f));
    CHECK(weights.value_weight == std::vector<float>(6, 1 + 0x1p-22f));
    CHECK(weights.position_bias == std::vector<float>(16, -infinity));

    replace("to_v.weight", "F64", 1e300);
    replace("to_k.weight", "F16", std::uint16_t{0x7c01});
    CHECK_THROWS_WITH(load(file, config), ContainsSubstring("to_k.weight has nan at [0, 0], must be finite; "
                                                            "to_v.weight has inf at [0, 0], must be finite"));
}

TEST_CASE("a position bias may be stored as factors", "[weights]") {
    const LayerConfig config = small(aft_local);
    SafetensorsFile file = checkpoint(config);
    const auto load_factors = [&](const std::vector<float> &u, const std::vector<float> &v) {
        file.tensors["wbias_u"] = stored_tensor({4, static_cast<std::int64_t>(u.size()) / 4}, u);
        file.tensors["wbias_v"] = stored_tensor({4, static_cast<std::int64_t>(v.size()) / 4}, v);
        return load(file, config).position_bias;
    };
    const std::string both = R"("wbias_u" is unexpected; "wbias_v" is unexpected)";
    CHECK_THROWS_WITH(load_factors({1, 2, 3, 4}, {1, 2, 3, 4}), ContainsSubstring(both));
    file.tensors.erase("wbias");
    CHECK(load_factors({1, 2, 3, 4}, {5, 6, 7, 8}) ==
          std::vector<float>{5, 6, 7, 8, 10, 12, 14, 16, 15, 18, 21, 24, 20, 24, 28, 32});
    // Summed in float32 it would be 0.
    CHECK(load_factors({1e8f, 1, -1e8f, 1e8f, 1, -1e8f, 1e8f, 1, -1e8f, 1e8f, 1, -1e8f}, std::vector<float>(12, 1)) ==
          std::vector<float>(16, 1));
    CHECK(config_from_weights(file, {aft_full}).max_seq_len == 4);

    CHECK_THROWS_WITH(load_factors({1, 2, 3, 4}, std::vector<float>(8)),
                      ContainsSubstring("wbias_v is [4, 2], must be [4, 1]"));
    CHECK_THROWS_WITH(load_factors({1, not_a_number, 3, 4}, {1, 2, 3, 4}),
                      ContainsSubstring("wbias_u has nan at [1, 0], must be finite"));
    CHECK_THROWS_WITH(load_factors({1, 2, 1e30f, 4}, {1, 2, 3, 1e30f}),
                      ContainsSubstring("wbias_u wbias_v^T has inf at [2, 3], must be finite or -inf"));
    file.tensors.erase("wbias_u");
    CHECK_THROWS_WITH(load(file, config), ContainsSubstring("wbias_u is missing, must be [4, 1]"));
    CHECK_THROWS_WITH(config_from_weights(file, config), ContainsSubstring("wbias_u is missing"));
}

TEST_CASE("weights that aren't numbers are refused, and only position biases may mask", "[weights]") {
    const LayerConfig config = small(aft_local);
    Weights weights = zeros(config);
    weights.position_bias[0] = -infinity;
    CHECK_NOTHROW(check_weights(weights, config));
    weights.key_weight[4] = not_a_number;
    weights.project_bias[2] = -infinity;
    weights.position_bias[7] = infinity;
    CHECK_THROWS_AS(check_weights(weights, config), WeightsError);
    CHECK_THROWS_WITH(check_weights(weights, config),
                      "to_k.weight has nan at [1, 1], must be finite; project.bias has -inf at [2], must be finite; "
                      "wbias has inf at [1, 3], must be finite or -inf");
    weights = zeros(config);
    weights.position_bias[7] = not_a_number;
    CHECK_THROWS_WITH(check_weights(weights, config), ContainsSubstring("wbias has nan at [1, 3]"));

    SafetensorsFile file = checkpoint(config);
    file.tensors["to_q.bias"] = stored_tensor({2}, {0, infinity});
    CHECK_THROWS_WITH(load(file, config), ContainsSubstring("file.safetensors: to_q.bias has inf at [1]"));
}

TEST_CASE("a layer refuses weights of another size", "[weights]") {
    const LayerConfig config = small(aft_full);
    Weights weights = zeros(config);
    weights.query_weight.pop_back();
    weights.value_bias.push_back(0);
    weights.position_bias.clear();
    CHECK_THROWS_AS(Layer(config, weights), WeightsError);
    CHECK_THROWS_WITH(Layer(config, weights),
                      "to_q.weight has 5 values, must be [2, 3]; to_v.bias has 3 values, must be [2]; "
                      "wbias has 0 values, must be [4, 4]");
}

TEST_CASE("a file's shapes imply the config", "[weights]") {
    const TemporaryFile at;
    write_safetensors(at.path(), checkpoint(small(aft_full)));
    const LayerConfig full = config_from_weights(at.path(), {aft_local, 0, 0, 0, 7});
    CHECK(full.hidden == 3);
    CHECK(full.projected == 2);
    CHECK(full.max_seq_len == 4);
    CHECK(full.window == 7);
    SafetensorsFile file = checkpoint(small(aft_simple));
    const LayerConfig simple = config_from_weights(file, {aft_simple, 0, 0, 99, 0});
    CHECK(simple.hidden == 3);
    CHECK(simple.max_seq_len == 99);

    file.tensors.erase("to_v.weight");
    file.tensors["to_q.weight"] = stored_tensor({6}, std::vector<float>(6));
    write_safetensors(at.path(), file);
    CHECK_THROWS_WITH(config_from_weights(at.path(), {}),
                      ContainsSubstring("file.safetensors: to_q.weight is [6], must be a matrix; "
                                        "to_v.weight is missing; wbias is missing"));
}

TEST_CASE("the range of a position bias is that of its widest row", "[weights]") {
    const LayerConfig full = small(aft_full), local = small(aft_local);
    CHECK(range_of({5, 5, 5, 5}, full, 1) == 0);
    CHECK(range_of({-3, 5, 0, 1}, full, 3) == 8);
    CHECK(range_of({-infinity, 5, 0, 1}, full, 2) == infinity);
    CHECK(range_of({-infinity, -infinity, -infinity, -infinity}, full, 2) == infinity);
    // Target 1 with window 2 sees the bias of sources 0, 1, 2, and 0 elsewhere.
    CHECK(range_of({5, 5, 5, 5}, local, 1) == 5);
    CHECK(range_of({-3, 5, 0, 100}, local, 1) == 8);
    CHECK(range_of({-3, 5, 0, -infinity}, local, 1) == 8);
    CHECK(range_of({0, 0, -infinity, 0}, local, 1) == infinity);
    CHECK(range_of({0, 0, 0, 9}, {aft_local, 3, 2, 4, 1'000'000'000'000}, 0) == 9);
    CHECK(range_of({9, 9, 9, 9}, {aft_local, 3, 2, 4, 0}, 0) == 0);
    Weights simple = zeros(small(aft_simple));
    CHECK(widest_bias_range(simple, small(aft_simple)).range == 0);
}
