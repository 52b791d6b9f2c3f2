#include "c/c_status.h"
#include "c_layer.h"
#include "faults.h"
#include "temporary_file.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <new>
#include <string>
#include <thread>

using namespace aft;

namespace {

const Problem small{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};
constexpr std::int64_t extents[] = {2, 17, 12};

/// Input and output of `small`.
struct Tensors {
    std::vector<float> x = make_input(small), y = std::vector<float>(x.size(), -77);
};

/// A call failed with `expected` and the message of what the same in C++ throws.
template<typename Exception, typename Same>
void check_failed_as(aft_status status, aft_status expected, const Same &same) {
    const std::string message = aft_last_error();
    try {
        same();
        FAIL("C++ takes it");
    } catch (const Exception &error) {
        INFO(message);
        CHECK(status == expected);
        CHECK(message == error.what());
    }
}

aft_status layer_status(const LayerConfig &config, const CWeights &weights, const char *kernel, const char *device) {
    const aft_config as_c = c_config(config);
    const aft_layer_options options = {sizeof(options), kernel, device, nullptr};
    aft_layer *result = nullptr;
    const aft_status status = aft_layer_create(&as_c, weights.get(), &options, &result);
    CHECK(!result);
    return status;
}

}  // namespace

TEST_CASE("every exception has a status, and its message is kept", "[c]") {
    const auto check = [](const auto &exception, aft_status expected, const std::string &message) {
        check_failed(guarded([&] { throw exception; }), expected, message);
    };
    check(ArgumentError("a"), AFT_ERROR_ARGUMENT, "a");
    check(ShapeError("b"), AFT_ERROR_SHAPE, "b");
    check(ConfigError("c"), AFT_ERROR_CONFIG, "c");
    check(WeightsError("d"), AFT_ERROR_WEIGHTS, "d");
    check(DeviceError("e"), AFT_ERROR_DEVICE, "e");
    check(KernelError("f"), AFT_ERROR_KERNEL, "f");
    check(std::bad_alloc(), AFT_ERROR_NO_MEMORY, "no memory left");
    check(std::bad_array_new_length(), AFT_ERROR_NO_MEMORY, "no memory left");
    check(std::logic_error("100 %s"), AFT_ERROR_INTERNAL, "100 %s");
    check(7, AFT_ERROR_INTERNAL, "an exception of an unknown type");
    CHECK(guarded([] {}) == AFT_OK);
    check_failed(AFT_OK, AFT_OK, "an exception of an unknown type");  // that of the last failure stays
    check(ConfigError(std::string(4095, 'x')), AFT_ERROR_CONFIG, std::string(4095, 'x'));
    check(ConfigError(std::string(5000, 'y')), AFT_ERROR_CONFIG, std::string(4095, 'y'));
}

TEST_CASE("a thread has its own message, at first none", "[c]") {
    check_failed(aft_set_thread_count(0), AFT_ERROR_CONFIG, "thread count is 0, must be 1 to 256");
    std::string at_first = "?", then;
    std::thread other([&] {
        at_first = aft_last_error();
        aft_set_thread_count(257);
        then = aft_last_error();
    });
    other.join();
    CHECK(at_first.empty());
    CHECK(then == "thread count is 257, must be 1 to 256");
    CHECK(std::string(aft_last_error()) == "thread count is 0, must be 1 to 256");
}

TEST_CASE("a kind of layer that C has and this library doesn't is refused with those that it has", "[c]") {
    const Weights weights = make_weights(small);
    const CWeights copy = copied(weights, small.config);
    const aft_parameters parameters = c_parameters(weights);
    for (const aft_layer_kind kind : {static_cast<aft_layer_kind>(AFT_LAYER_NONE), 10, INT32_MAX}) {
        aft_config config = c_config(small.config);
        config.kind = kind;
        aft_weights *no_weights = nullptr;
        aft_layer *no_layer = nullptr;
        const auto check = [&](aft_status status) {
            CHECK(status == AFT_ERROR_CONFIG);
            CHECK_THAT(aft_last_error(),
                       Catch::Matchers::StartsWith("kind is " + std::to_string(kind) +
                                                   ", must be one of 0 (full), 1 (simple), 2 (local)"));
        };
        check(aft_weights_copy(&config, &parameters, &no_weights));
        check(aft_layer_create(&config, copy.get(), nullptr, &no_layer));
        CHECK(!no_weights);
        CHECK(!no_layer);
    }
}

TEST_CASE("a gate that C has and this library doesn't is refused with those that it has", "[c]") {
    const aft_parameters parameters = c_parameters({});
    for (const aft_gate gate : {std::int64_t{-1}, std::int64_t{4}, INT64_MAX}) {
        aft_config config = c_config(small.config);
        const aft_load_options options = {sizeof(options), nullptr, nullptr, nullptr, &gate};
        const std::string message =
            "gate is " + std::to_string(gate) + ", must be one of 0 (sigmoid), 1 (tanh), 2 (none), 3 (identity)";
        aft_weights *weights = nullptr;
        check_failed(aft_weights_load("a file", &config, &options, &weights), AFT_ERROR_CONFIG, message);
        config.gate = gate;
        check_failed(aft_weights_copy(&config, &parameters, &weights), AFT_ERROR_CONFIG, message);
        CHECK(!weights);
    }
}

TEST_CASE("a mistake in C gets the message that it gets in C++", "[c]") {
    const Weights weights = make_weights(small);
    const CWeights copy = copied(weights, small.config);
    Tensors tensors;
    float *x = tensors.x.data(), *y = tensors.y.data();

    LayerConfig config{aft_full, 1, 1, 46341, 0};
    check_failed_as<ShapeError>(weights_status(config, weights), AFT_ERROR_SHAPE, [&] { Layer(config, weights); });
    Weights wrong = weights;
    wrong.key_weight[5] = NAN;
    check_failed_as<WeightsError>(weights_status(small.config, wrong), AFT_ERROR_WEIGHTS,
                                  [&] { Layer(small.config, wrong); });
    config = small.config;
    ++config.hidden;
    check_failed_as<WeightsError>(layer_status(config, copy, "", ""), AFT_ERROR_WEIGHTS,
                                  [&] { Layer(config, weights); });
    check_failed_as<ConfigError>(layer_status(small.config, copy, "aft_full_cpu_nothing", nullptr), AFT_ERROR_CONFIG,
                                 [&] { Layer(small.config, weights, {"aft_full_cpu_nothing"}); });
    check_failed_as<ConfigError>(layer_status(small.config, copy, nullptr, "abacus"), AFT_ERROR_CONFIG,
                                 [&] { Layer(small.config, weights, {"", "abacus"}); });

    const TemporaryFile file("not safetensors");
    const std::string path = file.path();
    aft_config c = c_config(small.config);
    aft_weights *loaded = nullptr;
    check_failed_as<WeightsError>(aft_weights_load(path.c_str(), &c, nullptr, &loaded), AFT_ERROR_WEIGHTS,
                                  [&] { load_weights(path, small.config); });
    check_failed_as<WeightsError>(aft_config_from_weights(path.c_str(), nullptr, &c), AFT_ERROR_WEIGHTS,
                                  [&] { config_from_weights(path, small.config); });
    CHECK(!loaded);

    const aft_layer_options on_cpu = {sizeof(on_cpu), nullptr, "cpu", nullptr};
    const CLayer layer = c_layer(small, &on_cpu);
    const Layer expected(small.config, weights, {"", "cpu"});
    const std::int64_t too_long[] = {1, 21, 12}, overlapping[] = {17 * 12, 11, 1};
    const std::int64_t largest[] = {INT64_MAX, INT64_MAX, INT64_MAX};
    check_failed_as<ShapeError>(aft_layer_forward(layer.get(), too_long, x, nullptr, y, nullptr), AFT_ERROR_SHAPE,
                                [&] { expected.forward({x, {1, 21, 12}}, {y, {1, 21, 12}}); });
    check_failed(aft_layer_forward(layer.get(), largest, x, nullptr, y, nullptr), AFT_ERROR_SHAPE,
                 "x: seq is 9223372036854775807, must be 0 to max_seq_len 20");
    check_failed_as<ShapeError>(aft_layer_forward(layer.get(), extents, x, overlapping, y, nullptr), AFT_ERROR_SHAPE,
                                [&] { expected.forward({x, {2, 17, 12}, {17 * 12, 11, 1}}, {y, {2, 17, 12}}); });
    check_failed_as<ShapeError>(aft_layer_forward(layer.get(), extents, x, nullptr, y, overlapping), AFT_ERROR_SHAPE,
                                [&] { expected.forward({x, {2, 17, 12}}, {y, {2, 17, 12}, {17 * 12, 11, 1}}); });
    const aft_kernel_info *kernel = nullptr;
    check_failed_as<ShapeError>(aft_layer_kernel_for(layer.get(), -1, 1, &kernel), AFT_ERROR_SHAPE,
                                [&] { expected.kernel_for({-1, 1}); });
    CHECK(!kernel);
    const DeviceView<const float, 3> from{{x, {2, 17, 12}}};
    const DeviceView<float, 3> to{{y, {2, 17, 12}}};
    check_failed_as<DeviceError>(aft_layer_forward_cuda(layer.get(), extents, x, nullptr, y, nullptr, nullptr),
                                 AFT_ERROR_DEVICE, [&] { expected.forward(from, to); });
    CHECK(tensors.y == Tensors().y);
}

TEST_CASE("whichever allocation fails, C hears of it, nothing leaks and the next call works", "[c]") {
    const aft_config config = c_config(small.config);
    const Weights values = make_weights(small);
    const aft_parameters parameters = c_parameters(values);
    const aft_layer_options options = {sizeof(options), nullptr, "cpu", nullptr};
    Tensors tensors, expected;
    CHECK(aft_layer_forward(c_layer(small, &options).get(), extents, expected.x.data(), nullptr, expected.y.data(),
                            nullptr) == AFT_OK);
    int of_host = 0, of_kernel = 0;
    for (std::int64_t n = 0;; ++n) {
        const std::int64_t live_before = live_allocations();
        aft_weights *weights = nullptr;
        aft_layer *layer = nullptr;
        const auto call = [&] {
            return aft_layer_forward(layer, extents, tensors.x.data(), nullptr, tensors.y.data(), nullptr);
        };
        aft_status status = AFT_OK;
        bool happened = true;
        {
            const AllocationFault fault(n);
            status = aft_weights_copy(&config, &parameters, &weights);
            status = status == AFT_OK ? aft_layer_create(&config, weights, &options, &layer) : status;
            status = status == AFT_OK ? call() : status;
            happened = fault.happened();
        }
        CHECK((status == AFT_OK || happened));
        of_host += status == AFT_ERROR_NO_MEMORY;
        of_kernel += status == AFT_ERROR_KERNEL;
        if (status == AFT_ERROR_NO_MEMORY) {
            CHECK(std::string(aft_last_error()) == "no memory left");
        }
        if (layer) {
            CHECK(call() == AFT_OK);
            CHECK(tensors.y == expected.y);
        }
        aft_weights_destroy(weights);
        aft_layer_destroy(layer);
        CHECK(live_allocations() == live_before);
        if (!happened) {
            break;
        }
    }
    CHECK(of_host > 0);
    CHECK(of_kernel > 0);
}

TEST_CASE("whichever allocation fails, C hears of it in cores, states and kept sources as well", "[c]") {
    Problem problem = small;
    problem.config.form = aft_causal_full;
    const aft_config config = c_config(problem.config);
    const CWeights weights = copied(make_weights(problem), problem.config);
    const aft_layer_options options = {sizeof(options), nullptr, "cpu", nullptr};
    Tensors tensors;
    const aft_tensor x = {tensors.x.data(), {2, 17, 12}, nullptr};
    const std::vector<float> expected = [&] {  // what the process keeps of its first call isn't lost
        const CLayer layer = c_layer(problem, &options);
        const CState state = c_state(problem.config, 2);
        CHECK(aft_layer_step(layer.get(), state.get(), extents, x.data, nullptr, nullptr, tensors.y.data(), nullptr) ==
              AFT_OK);
        return tensors.y;
    }();
    int failures = 0;
    for (std::int64_t n = 0;; ++n) {
        const std::int64_t live_before = live_allocations();
        aft_layer *layer = nullptr;
        aft_core *core = nullptr;
        aft_sources *sources = nullptr;
        aft_state *state = nullptr, *copy = nullptr;
        REQUIRE(aft_layer_create(&config, weights.get(), &options, &layer) == AFT_OK);
        REQUIRE(aft_state_create(&config, 2, &state) == AFT_OK);
        const auto step = [&] {
            return aft_layer_step(layer, state, extents, x.data, nullptr, nullptr, tensors.y.data(), nullptr);
        };
        aft_status status = AFT_OK;
        bool happened = true;
        {
            const AllocationFault fault(n);
            status = aft_core_create(&config, weights.get(), &options, &core);
            status = status == AFT_OK ? aft_sources_create(layer, &x, nullptr, &sources) : status;
            status = status == AFT_OK ? aft_state_copy(state, &copy) : status;
            status = status == AFT_OK ? step() : status;
            happened = fault.happened();
        }
        CHECK((status == AFT_OK || (happened && (status == AFT_ERROR_NO_MEMORY || status == AFT_ERROR_KERNEL))));
        failures += status != AFT_OK;
        if (status != AFT_OK) {
            std::int64_t position = -1;
            CHECK(aft_state_position(state, 0, &position) == AFT_OK);
            CHECK(position == 0);
            CHECK(step() == AFT_OK);
        }
        CHECK(tensors.y == expected);
        aft_core_destroy(core);
        aft_sources_destroy(sources);
        aft_state_destroy(copy);
        aft_state_destroy(state);
        aft_layer_destroy(layer);
        CHECK(live_allocations() == live_before);
        if (!happened) {
            break;
        }
    }
    CHECK(failures > 0);
}
