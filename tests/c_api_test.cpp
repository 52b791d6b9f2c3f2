#include "c_callers.h"
#include "c_layer.h"
#include "run.h"
#include "temporary_file.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <string>

using namespace aft;

namespace {

const Problem small{{aft_local, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/5}, {2, 17}};
constexpr std::int64_t extents[] = {2, 17, 12};

Problem problem_of(LayerForm form) {
    Problem problem = small;
    problem.config.form = form;
    return problem;
}

std::vector<float> c_run(const CLayer &layer, const std::vector<float> &x) {
    std::vector<float> y(x.size(), -77);
    CHECK(aft_layer_forward(layer.get(), extents, x.data(), nullptr, y.data(), nullptr) == AFT_OK);
    return y;
}

void check_same(const aft_range &range, const PreferredExtents::Range &expected) {
    CHECK(range.from == expected.from);
    CHECK(range.to == expected.to);
}

/// A checkpoint with biases of the layer.
SafetensorsFile checkpoint(const LayerConfig &config, const Weights &weights) {
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    SafetensorsFile file;
    file.tensors = {{"to_q.weight", stored_tensor({P, H}, weights.query_weight)},
                    {"to_q.bias", stored_tensor({P}, weights.query_bias)},
                    {"to_k.weight", stored_tensor({P, H}, weights.key_weight)},
                    {"to_v.weight", stored_tensor({P, H}, weights.value_weight)},
                    {"project.weight", stored_tensor({H, P}, weights.project_weight)},
                    {"wbias", stored_tensor({S, S}, weights.position_bias)}};
    return file;
}

}  // namespace

TEST_CASE("the library in C has the version of its header", "[c]") {
    CHECK(std::string(aft_version()) == AFT_VERSION);
}

TEST_CASE("the kernels in C are those in C++", "[c]") {
    std::int64_t count = -1;
    REQUIRE(aft_kernel_count(&count) == AFT_OK);
    REQUIRE(count == static_cast<std::int64_t>(kernels().size()));
    for (std::int64_t i = 0; i < count; ++i) {
        const KernelInfo &expected = kernels()[i];
        INFO(expected.id);
        const aft_kernel_info *kernel = nullptr;
        REQUIRE(aft_kernel_at(i, &kernel) == AFT_OK);
        CHECK(kernel->id == expected.id);
        CHECK(kernel->layer == (expected.layer ? c_kind(*expected.layer) : AFT_LAYER_NONE));
        CHECK(kernel->usable == (expected.usable ? 1 : 0));
        CHECK(kernel->reason == expected.reason);
        CHECK(kernel->device == expected.api);
        CHECK(kernel->schedule == expected.schedule);
        CHECK(kernel->operation == expected.operation);
        CHECK(kernel->algorithm == expected.algorithm);
        CHECK(kernel->target == expected.target);
        CHECK(kernel->storage == expected.storage);
        CHECK((kernel->max_bias_range > max_bias_range) == expected.any_bias_range);
        CHECK(kernel->max_bias_range >= max_bias_range);
        CHECK(kernel->minimum_batch == expected.minimum.batch);
        CHECK(kernel->minimum_seq == expected.minimum.seq);
        CHECK(kernel->minimum_hidden == expected.minimum.hidden);
        CHECK(kernel->minimum_projected == expected.minimum.projected);
        CHECK(kernel->minimum_window == expected.minimum.window);
        check_same(kernel->preferred_seq, expected.preferred.seq);
        check_same(kernel->preferred_hidden, expected.preferred.hidden);
        check_same(kernel->preferred_projected, expected.preferred.projected);
        check_same(kernel->preferred_window, expected.preferred.window);
    }
}

TEST_CASE("the devices in C are those in C++", "[c]") {
    std::int64_t count = -1;
    REQUIRE(aft_device_count(&count) == AFT_OK);
    REQUIRE(count == static_cast<std::int64_t>(devices().size()));
    for (std::int64_t i = 0; i < count; ++i) {
        const Device &expected = devices()[i];
        INFO(expected.id);
        const aft_device_info *device = nullptr;
        REQUIRE(aft_device_at(i, &device) == AFT_OK);
        CHECK(device->id == expected.id);
        CHECK(device->api == expected.api);
        CHECK(device->name == expected.name);
        CHECK(device->memory == expected.memory);
        CHECK(device->is_gpu == (expected.is_gpu ? 1 : 0));
        CHECK(device->usable == (expected.usable ? 1 : 0));
        CHECK(device->reason == expected.reason);
    }
}

TEST_CASE("the thread count in C is that in C++", "[c]") {
    const ThreadCount three(3);
    std::int32_t threads = 0;
    CHECK(aft_thread_count(&threads) == AFT_OK);
    CHECK(threads == 3);
    CHECK(aft_set_thread_count(2) == AFT_OK);
    CHECK(thread_count() == 2);
}

TEST_CASE("the kinds of layers in C are the named forms", "[c]") {
    std::map<std::int32_t, LayerForm> forms;
    for (const NamedForm &named : named_forms) {
        CHECK(forms.emplace(named.c_kind, named.form).second);
    }
    CHECK(forms.size() == 10);
    CHECK(forms.at(AFT_LAYER_FULL) == aft_full);
    CHECK(forms.at(AFT_LAYER_SIMPLE) == aft_simple);
    CHECK(forms.at(AFT_LAYER_LOCAL) == aft_local);
    CHECK(forms.at(AFT_LAYER_CAUSAL_FULL) == aft_causal_full);
    CHECK(forms.at(AFT_LAYER_CAUSAL_SIMPLE) == aft_causal_simple);
    CHECK(forms.at(AFT_LAYER_CAUSAL_LOCAL) == aft_causal_local);
    CHECK(forms.at(AFT_LAYER_CONV) == aft_conv);
    CHECK(forms.at(AFT_LAYER_WKV) == aft_wkv);
    CHECK(forms.at(AFT_LAYER_GIVEN) == aft_given);
    CHECK(forms.at(AFT_LAYER_CAUSAL_GIVEN) == aft_causal_given);
}

TEST_CASE("the gates in C are those in C++", "[c]") {
    CHECK(AFT_GATE_SIGMOID == static_cast<int>(Gate::sigmoid));
    CHECK(AFT_GATE_TANH == static_cast<int>(Gate::tanh));
    CHECK(AFT_GATE_NONE == static_cast<int>(Gate::none));
    CHECK(AFT_GATE_IDENTITY == static_cast<int>(Gate::identity));
}

TEST_CASE("a layer in C gives the bits of the one in C++", "[c]") {
    for (const NamedForm &named : named_forms) {
        if (named.form.bias == PositionBias::given) {  // x alone is no call
            continue;
        }
        const Problem problem = problem_of(named.form);
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        Weights without_biases = weights;
        without_biases.query_bias = without_biases.key_bias = without_biases.value_bias =
            without_biases.project_bias = {};
        const std::vector<float> x = make_input(problem);
        const std::vector<float> expected = run(Layer(problem.config, weights), x, problem.shape);
        const std::vector<float> unbiased = run(Layer(problem.config, without_biases), x, problem.shape);
        REQUIRE(expected != unbiased);
        CHECK(c_run(c_layer(problem), x) == expected);
        CHECK(c_run(c_layer(problem.config, copied(without_biases, problem.config)), x) == unbiased);
    }
}

TEST_CASE("a layer in C takes tensors at any strides", "[c]") {
    constexpr std::int64_t x_strides[] = {400, 19, 1}, y_strides[] = {12, 24, 1};  // y is time-major
    const std::vector<float> dense = make_input(small);
    std::vector<float> x(800), y(500, -77), expected_y = y;
    for (std::size_t i = 0; i < dense.size(); ++i) {
        x[i / (17 * 12) * 400 + i / 12 % 17 * 19 + i % 12] = dense[i];
    }
    Layer(small.config, make_weights(small))
        .forward(TensorView<float, 3>{x.data(), {2, 17, 12}, {400, 19, 1}},
                 {expected_y.data(), {2, 17, 12}, {12, 24, 1}});
    const CLayer layer = c_layer(small);
    CHECK(aft_layer_forward(layer.get(), extents, x.data(), x_strides, y.data(), y_strides) == AFT_OK);
    CHECK(y == expected_y);
    CHECK(std::count(y.begin(), y.end(), -77) == 500 - 2 * 17 * 12);
}

TEST_CASE("weights and config in C come from a checkpoint as in C++", "[c]") {
    const Weights weights = make_weights(small);
    const TemporaryFile file;
    write_safetensors(file.path(), checkpoint(small.config, weights));
    aft_config config = c_config({small.config.form, 0, 0, 0, small.config.window, -1, -1, 0});
    REQUIRE(aft_config_from_weights(file.path().c_str(), nullptr, &config) == AFT_OK);
    CHECK(config.struct_size == sizeof(config));
    CHECK(config.kind == AFT_LAYER_LOCAL);
    CHECK(config.hidden == 12);
    CHECK(config.projected == 8);
    CHECK(config.max_seq_len == 20);
    CHECK(config.window == 5);
    CHECK(config.gate == AFT_GATE_SIGMOID);
    CHECK(config.key_hidden == 0);
    CHECK(config.value_hidden == 0);

    aft_weights *loaded = nullptr;
    REQUIRE(aft_weights_load(file.path().c_str(), &config, nullptr, &loaded) == AFT_OK);
    const std::vector<float> x = make_input(small);
    const Layer expected(small.config, load_weights(file.path(), small.config));
    CHECK(c_run(c_layer(small.config, CWeights(loaded)), x) == run(expected, x, small.shape));
}

TEST_CASE("a layer of a network is named by its prefix in C as well", "[c]") {
    const TemporaryFile file;
    SafetensorsFile network;
    for (auto &[name, tensor] : checkpoint(small.config, make_weights(small)).tensors) {
        network.tensors["layers.0." + name] = network.tensors["layers.1." + name] = tensor;
    }
    write_safetensors(file.path(), network);
    aft_config config = c_config(small.config);
    aft_weights *weights = nullptr;
    CHECK(aft_weights_load(file.path().c_str(), &config, nullptr, &weights) == AFT_ERROR_WEIGHTS);
    aft_load_options options = {sizeof(options), "layers.1.", "labml-nn", nullptr, nullptr};
    CHECK(aft_weights_load(file.path().c_str(), &config, &options, &weights) == AFT_ERROR_WEIGHTS);
    CHECK(!weights);
    options.naming = nullptr;
    config.hidden = 0;
    REQUIRE(aft_config_from_weights(file.path().c_str(), &options, &config) == AFT_OK);
    CHECK(config.hidden == 12);
    REQUIRE(aft_weights_load(file.path().c_str(), &config, &options, &weights) == AFT_OK);
    const std::vector<float> x = make_input(small);
    CHECK(c_run(c_layer(small.config, CWeights(weights)), x) ==
          run(Layer(small.config, load_weights(file.path(), small.config, {"layers.1."})), x, small.shape));
}

TEST_CASE("the names of a layer's tensors may be given in C as well", "[c]") {
    const TemporaryFile file;
    SafetensorsFile renamed = checkpoint(small.config, make_weights(small));
    for (const char *end : {".weight", ".bias"}) {
        renamed.tensors[std::string("w_q") + end] = renamed.tensors.at(std::string("to_q") + end);
        renamed.tensors.erase(std::string("to_q") + end);
    }
    write_safetensors(file.path(), renamed);
    const aft_config config = c_config(small.config);
    const char *const names[] = {"query=w_q", nullptr};
    const aft_load_options options = {sizeof(options), nullptr, nullptr, names, nullptr};
    aft_weights *weights = nullptr;
    CHECK(aft_weights_load(file.path().c_str(), &config, nullptr, &weights) == AFT_ERROR_WEIGHTS);
    REQUIRE(aft_weights_load(file.path().c_str(), &config, &options, &weights) == AFT_OK);
    const std::vector<float> x = make_input(small);
    const Layer expected(small.config, load_weights(checkpoint(small.config, make_weights(small)), small.config));
    CHECK(c_run(c_layer(small.config, CWeights(weights)), x) == run(expected, x, small.shape));
}

TEST_CASE("a layer in C runs on the kernel and the device that it is asked for", "[c]") {
    const std::vector<float> x = make_input(small);
    for (const KernelInfo &kernel : kernels()) {
        if (!is_tested(kernel) || kernel.api != "cpu" || !can_run(kernel, small)) {
            continue;
        }
        INFO(kernel.id);
        const aft_layer_options options = {sizeof(options), kernel.id.c_str(), "cpu", nullptr};
        const CLayer layer = c_layer(small, &options);
        const aft_kernel_info *chosen = nullptr;
        CHECK(aft_layer_kernel_for(layer.get(), 2, 17, &chosen) == AFT_OK);
        CHECK(chosen->id == kernel.id);
        const aft_device_info *device = nullptr;
        CHECK(aft_layer_device(layer.get(), &device) == AFT_OK);
        CHECK(std::string(device->id) == "cpu");
        const Layer expected(small.config, make_weights(small), {kernel.id, "cpu"});
        CHECK(c_run(layer, x) == run(expected, x, small.shape));
    }
    const aft_layer_options nothing_asked = {sizeof(nothing_asked), "", nullptr, nullptr};
    CHECK(c_run(c_layer(small, &nothing_asked), x) == c_run(c_layer(small), x));
}

TEST_CASE("a layer in C says what it is as in C++", "[c]") {
    const CLayer layer = c_layer(small);
    const Layer expected(small.config, make_weights(small));
    aft_config config = {};
    config.struct_size = sizeof(config);
    REQUIRE(aft_layer_config(layer.get(), &config) == AFT_OK);
    CHECK(config.struct_size == sizeof(config));
    CHECK(config.kind == AFT_LAYER_LOCAL);
    CHECK(config.hidden == 12);
    CHECK(config.projected == 8);
    CHECK(config.max_seq_len == 20);
    CHECK(config.window == 5);
    for (const std::int64_t seq : {1, 2, 17, 20}) {
        const aft_kernel_info *kernel = nullptr;
        REQUIRE(aft_layer_kernel_for(layer.get(), 2, seq, &kernel) == AFT_OK);
        CHECK(kernel->id == expected.kernel_for({2, seq}).id);
    }
    const aft_device_info *device = nullptr;
    REQUIRE(aft_layer_device(layer.get(), &device) == AFT_OK);
    CHECK(device->id == expected.device().id);
    CHECK(aft_layer_synchronize(layer.get()) == AFT_OK);

    std::uint64_t bytes = 1;
    CHECK(aft_layer_scratch_bytes(layer.get(), &bytes) == AFT_OK);
    CHECK(bytes == 0);
    const std::vector<float> x = make_input(small);
    c_run(layer, x);
    std::vector<float> y(x.size());
    expected.forward({x.data(), {2, 17, 12}}, {y.data(), {2, 17, 12}});
    CHECK(aft_layer_scratch_bytes(layer.get(), &bytes) == AFT_OK);
    CHECK(bytes > 0);
    CHECK(bytes == expected.scratch_bytes());
}

TEST_CASE("threads of C may share a layer, and each has its own messages", "[c]") {
    const std::vector<float> x = make_input(small);
    const CLayer layer = c_layer(small);
    const std::vector<float> expected = c_run(layer, x);
    CHECK(call_from_four_threads(layer.get(), extents, x.data(), expected.data(), x.size() * sizeof(float)) == 0);
    std::vector<float> other = expected;
    other[7] = -other[7];
    CHECK(call_from_four_threads(layer.get(), extents, x.data(), other.data(), x.size() * sizeof(float)) == 4 * 20);
}
