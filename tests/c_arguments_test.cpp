#include "c_layer.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

using namespace aft;

namespace {

const Problem small{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};
constexpr std::int64_t extents[] = {2, 17, 12};

}  // namespace

TEST_CASE("a null pointer is refused by its name", "[c]") {
    const auto check = [](aft_status status, const std::string &name) {
        check_failed(status, AFT_ERROR_ARGUMENT, name + " is null");
    };
    const aft_config config = c_config(small.config);
    aft_config written = config;
    const Weights values = make_weights(small);
    const aft_parameters parameters = c_parameters(values);
    const CWeights some = copied(values, small.config);
    const CLayer made = c_layer(small);
    const aft_layer *layer = made.get();
    aft_weights *weights = nullptr;
    aft_layer *new_layer = nullptr;
    const aft_kernel_info *kernel = nullptr;
    const aft_device_info *device = nullptr;
    std::uint64_t bytes = 0;
    const std::vector<float> input = make_input(small), before(input.size(), -77);
    std::vector<float> output = before;
    const float *x = input.data();
    float *y = output.data();

    check(aft_kernel_count(nullptr), "count");
    check(aft_kernel_at(0, nullptr), "kernel");
    check(aft_device_count(nullptr), "count");
    check(aft_device_at(0, nullptr), "device");
    check(aft_thread_count(nullptr), "threads");
    check(aft_weights_copy(nullptr, &parameters, &weights), "config");
    check(aft_weights_copy(&config, nullptr, &weights), "parameters");
    check(aft_weights_copy(&config, &parameters, nullptr), "weights");
    check(aft_weights_load(nullptr, &config, nullptr, &weights), "path");
    check(aft_weights_load("a file", nullptr, nullptr, &weights), "config");
    check(aft_weights_load("a file", &config, nullptr, nullptr), "weights");
    check(aft_config_from_weights(nullptr, nullptr, &written), "path");
    check(aft_config_from_weights("a file", nullptr, nullptr), "config");
    check(aft_layer_create(nullptr, some.get(), nullptr, &new_layer), "config");
    check(aft_layer_create(&config, nullptr, nullptr, &new_layer), "weights");
    check(aft_layer_create(&config, some.get(), nullptr, nullptr), "layer");
    check(aft_layer_forward(nullptr, extents, x, nullptr, y, nullptr), "layer");
    check(aft_layer_forward(layer, nullptr, x, nullptr, y, nullptr), "extents");
    check(aft_layer_forward(layer, extents, nullptr, nullptr, y, nullptr), "x");
    check(aft_layer_forward(layer, extents, x, nullptr, nullptr, nullptr), "y");
    check(aft_layer_forward_cuda(nullptr, extents, x, nullptr, y, nullptr, nullptr), "layer");
    check(aft_layer_forward_cuda(layer, nullptr, x, nullptr, y, nullptr, nullptr), "extents");
    check(aft_layer_forward_cuda(layer, extents, nullptr, nullptr, y, nullptr, nullptr), "x");
    check(aft_layer_forward_cuda(layer, extents, x, nullptr, nullptr, nullptr, nullptr), "y");
    check(aft_layer_synchronize(nullptr), "layer");
    check(aft_layer_device(nullptr, &device), "layer");
    check(aft_layer_device(layer, nullptr), "device");
    check(aft_layer_kernel_for(nullptr, 1, 1, &kernel), "layer");
    check(aft_layer_kernel_for(layer, 1, 1, nullptr), "kernel");
    check(aft_layer_config(nullptr, &written), "layer");
    check(aft_layer_config(layer, nullptr), "config");
    check(aft_layer_scratch_bytes(nullptr, &bytes), "layer");
    check(aft_layer_scratch_bytes(layer, nullptr), "bytes");
    CHECK((!weights && !new_layer && !kernel && !device));
    CHECK(std::memcmp(&written, &config, sizeof(config)) == 0);
    CHECK(output == before);
    aft_weights_destroy(nullptr);
    aft_layer_destroy(nullptr);
}

TEST_CASE("a null pointer of a call, a core or a state is refused by its name", "[c]") {
    const auto check = [](aft_status status, const std::string &name) {
        check_failed(status, AFT_ERROR_ARGUMENT, name + " is null");
    };
    Problem problem = small;
    problem.config.form = aft_causal_full;
    const aft_config config = c_config(problem.config);
    const Weights values = make_weights(problem);
    const aft_parameters parameters = c_parameters(values);
    const CLayer made_layer = c_layer(problem);
    const CCore made_core = c_core(problem);
    const CState made_state = c_state(problem.config, 2);
    const aft_layer *layer = made_layer.get();
    const aft_core *core = made_core.get();
    aft_state *state = made_state.get(), *new_state = nullptr;
    aft_core *new_core = nullptr;
    aft_weights *weights = nullptr;
    aft_sources *sources = nullptr;
    const aft_kernel_info *kernel = nullptr;
    const aft_device_info *device = nullptr;
    std::int64_t number = -1;
    const std::vector<float> input = make_input(problem), before(input.size(), -77);
    std::vector<float> output = before;
    const float *x = input.data();
    float *y = output.data();
    const aft_tensor tensor = {x, {2, 17, 12}, nullptr};
    const aft_layer_inputs inputs = {sizeof(inputs), tensor, {}, {}, nullptr, nullptr};
    const aft_core_inputs core_inputs = {sizeof(core_inputs), tensor, tensor, tensor, nullptr};

    check(aft_weights_copy_core(nullptr, &parameters, &weights), "config");
    check(aft_weights_copy_core(&config, nullptr, &weights), "parameters");
    check(aft_weights_copy_core(&config, &parameters, nullptr), "weights");
    check(aft_layer_call(nullptr, &inputs, extents, y, nullptr), "layer");
    check(aft_layer_call(layer, nullptr, extents, y, nullptr), "inputs");
    check(aft_layer_call(layer, &inputs, nullptr, y, nullptr), "extents");
    check(aft_layer_call(layer, &inputs, extents, nullptr, nullptr), "y");
    check(aft_layer_step(nullptr, state, extents, x, nullptr, nullptr, y, nullptr), "layer");
    check(aft_layer_step(layer, nullptr, extents, x, nullptr, nullptr, y, nullptr), "state");
    check(aft_layer_step(layer, state, nullptr, x, nullptr, nullptr, y, nullptr), "extents");
    check(aft_layer_step(layer, state, extents, nullptr, nullptr, nullptr, y, nullptr), "x");
    check(aft_layer_step(layer, state, extents, x, nullptr, nullptr, nullptr, nullptr), "y");
    check(aft_sources_create(nullptr, &tensor, nullptr, &sources), "layer");
    check(aft_sources_create(layer, nullptr, nullptr, &sources), "key");
    check(aft_sources_create(layer, &tensor, nullptr, nullptr), "sources");
    check(aft_core_create(nullptr, nullptr, nullptr, &new_core), "config");
    check(aft_core_create(&config, nullptr, nullptr, nullptr), "core");
    check(aft_core_forward(nullptr, &core_inputs, extents, y, nullptr), "core");
    check(aft_core_forward(core, nullptr, extents, y, nullptr), "inputs");
    check(aft_core_forward(core, &core_inputs, nullptr, y, nullptr), "extents");
    check(aft_core_forward(core, &core_inputs, extents, nullptr, nullptr), "y");
    check(aft_core_step(nullptr, state, &core_inputs, extents, y, nullptr), "core");
    check(aft_core_step(core, nullptr, &core_inputs, extents, y, nullptr), "state");
    check(aft_core_step(core, state, nullptr, extents, y, nullptr), "inputs");
    check(aft_core_step(core, state, &core_inputs, nullptr, y, nullptr), "extents");
    check(aft_core_step(core, state, &core_inputs, extents, nullptr, nullptr), "y");
    check(aft_core_device(nullptr, &device), "core");
    check(aft_core_device(core, nullptr), "device");
    check(aft_core_kernel_for(nullptr, 1, 1, &kernel), "core");
    check(aft_core_kernel_for(core, 1, 1, nullptr), "kernel");
    check(aft_core_config(core, nullptr), "config");
    check(aft_core_scratch_bytes(core, nullptr), "bytes");
    check(aft_state_create(nullptr, 2, &new_state), "config");
    check(aft_state_create(&config, 2, nullptr), "state");
    check(aft_state_copy(nullptr, &new_state), "from");
    check(aft_state_copy(state, nullptr), "state");
    check(aft_state_copy_sample(nullptr, 0, state, 0), "state");
    check(aft_state_copy_sample(state, 0, nullptr, 0), "from");
    check(aft_state_reset(nullptr, 0), "state");
    check(aft_state_batch(nullptr, &number), "state");
    check(aft_state_batch(state, nullptr), "batch");
    check(aft_state_position(nullptr, 0, &number), "state");
    check(aft_state_position(state, 0, nullptr), "position");
    check(aft_state_save(nullptr, "a file"), "state");
    check(aft_state_save(state, nullptr), "path");
    check(aft_state_load(nullptr, &config, &new_state), "path");
    check(aft_state_load("a file", nullptr, &new_state), "config");
    check(aft_state_load("a file", &config, nullptr), "state");
    CHECK((!weights && !sources && !new_core && !new_state && !kernel && !device && number == -1));
    CHECK(output == before);
    CHECK(aft_state_position(state, 0, &number) == AFT_OK);
    CHECK(number == 0);
    aft_sources_destroy(nullptr);
    aft_core_destroy(nullptr);
    aft_state_destroy(nullptr);
}

TEST_CASE("only biases may be null among the parameters", "[c]") {
    const auto check_needed = [](std::vector<float> Weights::*values, const std::string &message) {
        Weights weights = make_weights(small);
        (weights.*values).clear();
        check_failed(weights_status(small.config, weights), AFT_ERROR_ARGUMENT, message);
    };
    check_needed(&Weights::query_weight, "query_weight is null, must be [8, 12]");
    check_needed(&Weights::key_weight, "key_weight is null, must be [8, 12]");
    check_needed(&Weights::value_weight, "value_weight is null, must be [8, 12]");
    check_needed(&Weights::project_weight, "project_weight is null, must be [12, 8]");
    check_needed(&Weights::position_bias, "position_bias is null, must be [20, 20]");
}

TEST_CASE("the parameters of a form in C are those of its bias, its gate and its projections", "[c]") {
    Problem problem = small;
    problem.config.form = aft_wkv;
    const auto check_needed = [&](std::vector<float> Weights::*values, const std::string &message) {
        Weights weights = make_weights(problem);
        (weights.*values).clear();
        check_failed(weights_status(problem.config, weights), AFT_ERROR_ARGUMENT, message);
    };
    check_needed(&Weights::decay, "decay is null, must be [8]");
    check_needed(&Weights::bonus, "bonus is null, must be [8]");
    problem.config.form = aft_conv;
    problem.config.window = 3;
    problem.config.heads = 4;
    check_needed(&Weights::position_bias, "position_bias is null, must be [4, 3]");
    problem.config.key_hidden = 5;
    check_needed(&Weights::value_weight, "value_weight is null, must be [8, 5]");
    problem.config.form.gate = Gate::none;
    Weights without_query = make_weights(problem);
    without_query.query_weight.clear();
    CHECK(copied(without_query, problem.config));

    problem = small;
    problem.config.hidden = problem.config.projected;
    Weights without_projection = make_weights(problem);
    without_projection.project_weight.clear();
    check_failed(weights_status(problem.config, without_projection), AFT_ERROR_ARGUMENT,
                 "project_weight is null, must be [8, 8]");  // it has a bias
    without_projection.project_bias.clear();
    CHECK(copied(without_projection, problem.config));

    problem.config.hidden = 0;  // a core
    const aft_config config = c_config(problem.config);
    const aft_parameters none = c_parameters({});
    aft_weights *weights = nullptr;
    check_failed(aft_weights_copy_core(&config, &none, &weights), AFT_ERROR_ARGUMENT,
                 "position_bias is null, must be [20, 20]");
    CHECK(!weights);
}

TEST_CASE("an index out of range is refused", "[c]") {
    const aft_kernel_info *kernel = nullptr;
    const aft_device_info *device = nullptr;
    const std::string last_kernel = std::to_string(kernels().size() - 1),
                      last_device = std::to_string(devices().size() - 1);
    check_failed(aft_kernel_at(-1, &kernel), AFT_ERROR_ARGUMENT, "index is -1, must be 0 to " + last_kernel);
    check_failed(aft_kernel_at(INT64_MAX, &kernel), AFT_ERROR_ARGUMENT,
                 "index is 9223372036854775807, must be 0 to " + last_kernel);
    check_failed(aft_kernel_at(kernels().size(), &kernel), AFT_ERROR_ARGUMENT,
                 "index is " + std::to_string(kernels().size()) + ", must be 0 to " + last_kernel);
    check_failed(aft_device_at(devices().size(), &device), AFT_ERROR_ARGUMENT,
                 "index is " + std::to_string(devices().size()) + ", must be 0 to " + last_device);
    CHECK((!kernel && !device));
}

TEST_CASE("structs of older and newer programs are taken, unless they have what isn't known", "[c]") {
    struct Newer {
        aft_config config;
        std::int64_t more;
    } newer = {c_config(small.config), 0};
    const Weights values = make_weights(small);
    const aft_parameters parameters = c_parameters(values);
    const auto status = [&](std::uint64_t size) {
        newer.config.struct_size = size;
        aft_weights *weights = nullptr;
        const aft_status result = aft_weights_copy(&newer.config, &parameters, &weights);
        CHECK((result == AFT_OK) == (weights != nullptr));
        aft_weights_destroy(weights);
        return result;
    };
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{7}, std::uint64_t{4097}, UINT64_MAX}) {
        check_failed(status(size), AFT_ERROR_ARGUMENT,
                     "config: struct_size is " + std::to_string(size) + ", must be " +
                         std::to_string(sizeof(aft_config)));
    }
    check_failed(status(offsetof(aft_config, hidden)), AFT_ERROR_CONFIG, "hidden is 0, must be 1 to 2147483647");
    CHECK(status(offsetof(aft_config, window)) == AFT_OK);
    CHECK(status(sizeof(aft_config)) == AFT_OK);
    CHECK(status(sizeof(newer)) == AFT_OK);
    newer.more = 1;
    check_failed(status(sizeof(newer)), AFT_ERROR_ARGUMENT,
                 "config has a value at byte " + std::to_string(sizeof(aft_config)) +
                     ", aft " AFT_VERSION " knows its first " + std::to_string(sizeof(aft_config)) + " bytes");

    const CLayer layer = c_layer(small);
    aft_config written = {offsetof(aft_config, window), -1, -1, -1, -1, -1, -1, -1, -1, -1};
    CHECK(aft_layer_config(layer.get(), &written) == AFT_OK);
    CHECK(written.max_seq_len == 20);
    CHECK(written.window == -1);
    CHECK(written.heads == -1);
}

TEST_CASE("structs of programs from before gates, other inputs and decays mean what they meant", "[c]") {
    constexpr std::uint64_t of_config = 48, of_parameters = 80, of_options = 32;
    CHECK(of_config == offsetof(aft_config, gate));
    CHECK(of_parameters == offsetof(aft_parameters, decay));
    CHECK(of_options == offsetof(aft_load_options, gate));

    const Weights values = make_weights(small);
    aft_config config = c_config(small.config);
    config.struct_size = of_config;  // all behind it is the program's own
    config.gate = config.key_hidden = config.value_hidden = config.heads = 77;
    aft_parameters parameters = c_parameters(values);
    parameters.struct_size = of_parameters;
    parameters.decay = parameters.bonus = values.query_bias.data();
    aft_weights *weights = nullptr;
    REQUIRE(aft_weights_copy(&config, &parameters, &weights) == AFT_OK);
    const CWeights owned(weights);
    aft_layer *layer = nullptr;
    REQUIRE(aft_layer_create(&config, weights, nullptr, &layer) == AFT_OK);
    const CLayer owned_layer(layer);
    aft_config written = {};
    written.struct_size = sizeof(written);
    REQUIRE(aft_layer_config(layer, &written) == AFT_OK);
    CHECK(written.gate == AFT_GATE_SIGMOID);
    CHECK(written.key_hidden == 0);
    CHECK(written.value_hidden == 0);
    CHECK(written.heads == 1);
    const std::vector<float> x = make_input(small);
    std::vector<float> y(x.size()), expected(x.size());
    Layer(small.config, values).forward({x.data(), {2, 17, 12}}, {expected.data(), {2, 17, 12}});
    CHECK(aft_layer_forward(layer, extents, x.data(), nullptr, y.data(), nullptr) == AFT_OK);
    CHECK(y == expected);

    const aft_gate nonsense = 77;
    const aft_load_options options = {of_options, nullptr, nullptr, nullptr, &nonsense};
    CHECK(aft_weights_load("a file", &config, &options, &weights) == AFT_ERROR_WEIGHTS);  // not of the gate
}

TEST_CASE("options for loading that this version doesn't know are refused", "[c]") {
    aft_config config = c_config(small.config);
    const struct {
        aft_load_options known;
        std::uint64_t later;
    } newer = {{sizeof(newer), "layers.0.", nullptr, nullptr, nullptr}, 1};
    aft_weights *weights = nullptr;
    const std::string message = "options has a value at byte 40, aft " AFT_VERSION " knows its first 40 bytes";
    check_failed(aft_weights_load("a file", &config, &newer.known, &weights), AFT_ERROR_ARGUMENT, message);
    check_failed(aft_config_from_weights("a file", &newer.known, &config), AFT_ERROR_ARGUMENT, message);
    CHECK(!weights);
}

TEST_CASE("inputs and sights of newer programs are refused if they have what isn't known", "[c]") {
    const CLayer layer = c_layer(small);
    const std::vector<float> x = make_input(small);
    std::vector<float> y(x.size(), -77), expected(x.size());
    const aft_tensor query = {x.data(), {2, 17, 12}, nullptr};
    struct {
        aft_sight known;
        std::uint64_t later;
    } sight = {{sizeof(sight), {}, nullptr, nullptr, {}}, 0};
    struct {
        aft_layer_inputs known;
        std::uint64_t later;
    } inputs = {{sizeof(inputs), query, {}, {}, nullptr, &sight.known}, 0};
    const auto call = [&] { return aft_layer_call(layer.get(), &inputs.known, extents, y.data(), nullptr); };
    sight.later = 1;
    check_failed(call(), AFT_ERROR_ARGUMENT,
                 "sight has a value at byte 104, aft " AFT_VERSION " knows its first 104 bytes");
    sight.later = 0;
    inputs.later = 1;
    check_failed(call(), AFT_ERROR_ARGUMENT,
                 "inputs has a value at byte 144, aft " AFT_VERSION " knows its first 144 bytes");
    inputs.known.struct_size = 0;
    check_failed(call(), AFT_ERROR_ARGUMENT, "inputs: struct_size is 0, must be 144");
    CHECK(std::count(y.begin(), y.end(), -77) == static_cast<std::ptrdiff_t>(y.size()));
    inputs = {{sizeof(inputs), query, {}, {}, nullptr, &sight.known}, 0};
    CHECK(call() == AFT_OK);
    CHECK(aft_layer_forward(layer.get(), extents, x.data(), nullptr, expected.data(), nullptr) == AFT_OK);
    CHECK(y == expected);
}

TEST_CASE("a name of a parameter that isn't one, or comes twice, is refused", "[c]") {
    aft_config config = c_config(small.config);
    aft_weights *weights = nullptr;
    const auto check = [&](const char *const *names, const std::string &name) {
        const aft_load_options options = {sizeof(options), nullptr, nullptr, names, nullptr};
        check_failed(aft_weights_load("a file", &config, &options, &weights), AFT_ERROR_ARGUMENT,
                     "options.names has " + name + ", must be PARAMETER=NAME, each parameter once");
    };
    const char *const without_equals[] = {"query=w_q", "key", nullptr};
    const char *const twice[] = {"query=w_q", "query=w_k", nullptr};
    check(without_equals, "key");
    check(twice, "query=w_k");
    CHECK(!weights);
}

TEST_CASE("C callers may pass null where there is nothing", "[c]") {
    const CLayer layer = c_layer(small);
    const std::int64_t no_samples[] = {0, 17, 12}, no_rows[] = {2, 0, 12}, too_long[] = {0, 21, 12};
    CHECK(aft_layer_forward(layer.get(), no_samples, nullptr, nullptr, nullptr, nullptr) == AFT_OK);
    CHECK(aft_layer_forward(layer.get(), no_rows, nullptr, nullptr, nullptr, nullptr) == AFT_OK);
    check_failed(aft_layer_forward(layer.get(), too_long, nullptr, nullptr, nullptr, nullptr), AFT_ERROR_SHAPE,
                 "x: seq is 21, must be 0 to max_seq_len 20");
    const aft_kernel_info *kernel = nullptr;
    CHECK(aft_layer_kernel_for(layer.get(), 0, 0, &kernel) == AFT_OK);
    CHECK(kernel);
}
