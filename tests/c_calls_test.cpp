#include "c_layer.h"
#include "run.h"
#include "temporary_file.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

using namespace aft;

namespace {

/// The causal forms that have a state.
std::vector<LayerForm> forms_with_state() {
    std::vector<LayerForm> forms;
    for (const NamedForm &named : named_forms) {
        if (named.form.is_causal() && named.form.bias != PositionBias::given) {
            forms.push_back(named.form);
        }
    }
    return forms;
}

constexpr std::int64_t B = 2, T = 9, H = 12;

Problem small(LayerForm form) {
    Problem problem{{form, H, /*projected=*/8, /*max_seq_len=*/20, form.has_window() ? 4 : 0}, {B, T}};
    problem.config.heads = form.bias == PositionBias::convolution ? 2 : 1;
    return problem;
}

/// The rows from `first` on of [B, T, H].
TensorView<const float, 3> rows(const std::vector<float> &x, std::int64_t first, std::int64_t count) {
    return {x.data() + first * H, {B, count, H}, {T * H, H, 1}};
}

std::vector<float> c_call(const CLayer &layer, const LayerCall &call, const aft_sources *sources = nullptr) {
    const aft_sight sight = c_sight(call.sight);
    aft_layer_inputs inputs = c_inputs(call, &sight);
    inputs.sources = sources;
    const std::int64_t extents[] = {call.query.extents[0], call.query.extents[1], call.query.extents[2]};
    std::vector<float> y(extents[0] * extents[1] * extents[2], -77);
    CHECK(aft_layer_call(layer.get(), &inputs, extents, y.data(), nullptr) == AFT_OK);
    return y;
}

/// `count` positions from `first` on; sequence b has lengths[b] of them.
std::vector<float> c_step(const CLayer &layer, const CState &state, const std::vector<float> &x, std::int64_t first,
                          std::int64_t count, const std::int64_t *lengths = nullptr) {
    const TensorView<const float, 3> input = rows(x, first, count);
    const std::int64_t extents[] = {B, count, H};
    std::vector<float> y(B * count * H, -77);
    CHECK(aft_layer_step(layer.get(), state.get(), extents, input.data, input.strides.data(), lengths, y.data(),
                         nullptr) == AFT_OK);
    return y;
}

std::int64_t position_of(const CState &state, std::int64_t sample) {
    std::int64_t position = -1;
    CHECK(aft_state_position(state.get(), sample, &position) == AFT_OK);
    return position;
}

}  // namespace

TEST_CASE("a call of a layer in C gives the bits of the one in C++, in every form", "[c]") {
    for (const Problem &problem : layer_problems()) {
        INFO(describe(problem));
        const Weights weights = make_weights(problem);
        const CallTensors call = make_call(problem);
        CHECK(same_bits(c_call(c_layer(problem), call.layer), run(Layer(problem.config, weights), call.layer)));
    }
}

TEST_CASE("a core in C gives the bits of the one in C++, in every form", "[c]") {
    std::vector<Problem> problems = core_problems();
    const std::vector<Problem> causal = scan_problems();
    problems.insert(problems.end(), causal.begin(), causal.end());
    for (const Problem &problem : problems) {
        if (problem.shape.seq > 40) {
            continue;
        }
        INFO(describe(problem));
        const Core expected(problem.config, make_weights(problem));
        const CCore core = c_core(problem);
        const CallTensors tensors = make_call(problem);
        const aft_sight sight = c_sight(tensors.core.sight);
        const aft_core_inputs inputs = c_inputs(tensors.core, &sight);
        const std::int64_t extents[] = {problem.shape.batch, problem.shape.seq, problem.config.projected};
        std::vector<float> y(extents[0] * extents[1] * extents[2], -77);
        if (problem.piece == 0) {
            CHECK(aft_core_forward(core.get(), &inputs, extents, y.data(), nullptr) == AFT_OK);
            CHECK(same_bits(y, run(expected, tensors.core)));
        } else {
            const CState state = c_state(problem.config, problem.shape.batch);
            CHECK(aft_core_step(core.get(), state.get(), &inputs, extents, y.data(), nullptr) == AFT_OK);
            CHECK(same_bits(y, run_in_pieces(expected, tensors.core, problem.shape.seq)));
        }
    }
}

TEST_CASE("a core in C says what it is as in C++", "[c]") {
    Problem problem = small(aft_given);
    problem.config.form.gate = Gate::none;
    problem.config.hidden = 0;
    const aft_config config = c_config(problem.config);
    const aft_layer_options options = {sizeof(options), nullptr, "cpu", nullptr};
    aft_core *made = nullptr;
    REQUIRE(aft_core_create(&config, nullptr, &options, &made) == AFT_OK);
    const CCore core(made);
    const Core expected(problem.config, {}, {"", "cpu"});
    const aft_kernel_info *kernel = nullptr;
    CHECK(aft_core_kernel_for(made, 5, 7, &kernel) == AFT_OK);
    CHECK(kernel->id == expected.kernel_for(5, 7).id);
    const aft_device_info *device = nullptr;
    CHECK(aft_core_device(made, &device) == AFT_OK);
    CHECK(std::string(device->id) == "cpu");
    aft_config same_config = {};
    same_config.struct_size = sizeof(same_config);
    CHECK(aft_core_config(made, &same_config) == AFT_OK);
    CHECK(std::memcmp(&same_config.hidden, &config.hidden, sizeof(config) - offsetof(aft_config, hidden)) == 0);
    CHECK(same_config.kind == AFT_LAYER_GIVEN);
    CHECK(same_config.gate == AFT_GATE_NONE);
    std::uint64_t bytes = 1;
    CHECK(aft_core_scratch_bytes(made, &bytes) == AFT_OK);
    CHECK(bytes == 0);
}

TEST_CASE("a layer in int8 in C gives the bits of the one in C++", "[c][int8]") {
    const Problem problem = small(aft_full);
    const CallTensors tensors = make_call(problem);
    const Weights weights = make_weights(problem);
    const aft_layer_options options = {sizeof(options), nullptr, "cpu", "int8"};
    const CLayer layer = c_layer(problem, &options);
    const aft_kernel_info *kernel = nullptr;
    CHECK(aft_layer_kernel_for(layer.get(), B, T, &kernel) == AFT_OK);
    CHECK(std::string(kernel->storage) == "int8");
    const Layer expected(problem.config, weights, {"", "cpu", "int8"});
    CHECK(same_bits(c_call(layer, tensors.layer), run(expected, tensors.layer)));
}

TEST_CASE("a null bias scale is 1, and another one counts", "[c]") {
    const Problem problem = small(aft_given);
    const CallTensors tensors = make_call(problem);
    const CLayer layer = c_layer(problem);
    const Layer expected(problem.config, make_weights(problem));
    LayerCall call = tensors.layer;
    aft_sight sight = c_sight(call.sight);
    sight.bias_scale = nullptr;
    const aft_layer_inputs inputs = c_inputs(call, &sight);
    const std::int64_t extents[] = {B, T, H};
    std::vector<float> y(B * T * H);
    CHECK(aft_layer_call(layer.get(), &inputs, extents, y.data(), nullptr) == AFT_OK);
    const std::vector<float> plain = run(expected, call);
    CHECK(same_bits(y, plain));
    for (const float scale : {0.0f, -3.0f}) {
        call.sight.bias_scale = scale;
        const std::vector<float> scaled = c_call(layer, call);
        CHECK(!same_bits(scaled, plain));
        CHECK(same_bits(scaled, run(expected, call)));
    }
}

TEST_CASE("a call in C takes inputs and outputs at any strides, and inputs that samples share", "[c]") {
    const Problem problem = small(aft_given);
    const CLayer layer = c_layer(problem);
    const std::vector<float> x = make_input(problem);
    const std::vector<float> bias(T, 0.5f);
    const bool mask[T] = {true, false, true, true};
    LayerCall call;
    call.query = {x.data(), {B, 4, H}, {T * H, 2 * H, 1}};
    call.key = {x.data(), {B, T, H}, {0, H, 1}};
    call.sight.position_bias = {bias.data(), {B, 4, T}, {0, 0, 1}};
    call.sight.mask = {mask, {B, 4, T}, {0, 0, 1}};
    const aft_sight sight = c_sight(call.sight);
    const aft_layer_inputs inputs = c_inputs(call, &sight);
    const std::int64_t extents[] = {B, 4, H}, strides[] = {H, B * H, 1};  // y is time-major
    std::vector<float> y(B * 4 * H, -77), expected_y = y;
    CHECK(aft_layer_call(layer.get(), &inputs, extents, y.data(), strides) == AFT_OK);
    Layer(problem.config, make_weights(problem)).forward(call, {expected_y.data(), {B, 4, H}, {H, B * H, 1}});
    CHECK(same_bits(y, expected_y));
    CHECK(std::count(y.begin(), y.end(), -77) == 0);
}

TEST_CASE("sources that are kept in C give the bits of sources that come with each call", "[c]") {
    for (const LayerForm form : {aft_full, aft_conv, aft_wkv}) {
        const Problem problem = small(form);
        INFO(describe(problem));
        const CLayer layer = c_layer(problem);
        const std::vector<float> x = make_input(problem);
        std::vector<float> other = x;
        std::reverse(other.begin(), other.end());
        LayerCall call;
        call.query = rows(x, 0, T);
        call.key = rows(other, 0, T);
        const std::vector<float> expected = c_call(layer, call);
        call.value = rows(x, 0, T);
        const std::vector<float> with_values = c_call(layer, call);
        CHECK(!same_bits(expected, with_values));

        const aft_tensor key = c_tensor(call.key), value = c_tensor(call.value);
        aft_sources *of_key = nullptr, *of_both = nullptr;
        REQUIRE(aft_sources_create(layer.get(), &key, nullptr, &of_key) == AFT_OK);
        REQUIRE(aft_sources_create(layer.get(), &key, &value, &of_both) == AFT_OK);
        const CSources first(of_key), second(of_both);
        call.key = call.value = {};
        CHECK(same_bits(c_call(layer, call, of_key), expected));
        CHECK(same_bits(c_call(layer, call, of_both), with_values));
    }
}

TEST_CASE("steps of a layer in C give the bits of those in C++", "[c]") {
    for (const LayerForm form : forms_with_state()) {
        const Problem problem = small(form);
        INFO(describe(problem));
        const std::vector<float> x = make_input(problem);
        const CLayer layer = c_layer(problem);
        const CState state = c_state(problem.config, B);
        const Layer expected_layer(problem.config, make_weights(problem));
        State expected_state(problem.config, B);
        const auto check_step = [&](std::int64_t first, std::int64_t count, const std::int64_t *lengths) {
            std::vector<float> expected(B * count * H);
            TensorView<const std::int64_t, 1> view;
            if (lengths) {
                view = {lengths, {B}};
            }
            expected_layer.step(expected_state, rows(x, first, count), {expected.data(), {B, count, H}}, view);
            CHECK(same_bits(c_step(layer, state, x, first, count, lengths), expected));
            for (std::int64_t b = 0; b < B; ++b) {
                CHECK(position_of(state, b) == expected_state.position(b));
            }
        };
        constexpr std::int64_t lengths[] = {1, 3};
        check_step(0, 2, nullptr);
        check_step(2, 3, lengths);
        check_step(5, 1, nullptr);
        CHECK(position_of(state, 0) == 4);
        CHECK(position_of(state, 1) == 6);
    }
}

TEST_CASE("states in C are copied, set back, saved and read", "[c]") {
    for (const LayerForm form : forms_with_state()) {
        const Problem problem = small(form);
        INFO(describe(problem));
        const aft_config config = c_config(problem.config);
        const std::vector<float> x = make_input(problem);
        const CLayer layer = c_layer(problem);
        const CState state = c_state(problem.config, B);
        const std::vector<float> at_first = c_step(layer, state, x, 0, 1);
        c_step(layer, state, x, 1, 3);

        aft_state *made = nullptr;
        REQUIRE(aft_state_copy(state.get(), &made) == AFT_OK);
        const CState copy(made);
        const TemporaryFile file;
        REQUIRE(aft_state_save(state.get(), file.path().c_str()) == AFT_OK);
        REQUIRE(aft_state_load(file.path().c_str(), &config, &made) == AFT_OK);
        const CState read(made);
        std::int64_t batch = -1;
        CHECK(aft_state_batch(made, &batch) == AFT_OK);
        CHECK(batch == B);
        CHECK(position_of(read, 1) == 4);

        const std::vector<float> expected = c_step(layer, state, x, 4, 2);
        CHECK(position_of(copy, 0) == 4);
        CHECK(same_bits(c_step(layer, copy, x, 4, 2), expected));
        CHECK(same_bits(c_step(layer, read, x, 4, 2), expected));

        CHECK(aft_state_reset(read.get(), 0) == AFT_OK);
        CHECK(aft_state_reset(read.get(), 1) == AFT_OK);
        CHECK(position_of(read, 0) == 0);
        CHECK(same_bits(c_step(layer, read, x, 0, 1), at_first));
        CHECK(aft_state_copy_sample(read.get(), 0, state.get(), 1) == AFT_OK);
        CHECK(position_of(read, 0) == 6);
        CHECK(position_of(read, 1) == 1);
    }
}

TEST_CASE("a mistake in a call, a step or a state in C gets the message that it gets in C++, and changes nothing",
          "[c]") {
    const Problem problem = small(aft_causal_local);
    const LayerConfig &config = problem.config;
    const Weights weights = make_weights(problem);
    const CLayer layer = c_layer(problem);
    const CCore core = c_core(problem);
    const CState state = c_state(config, B);
    const Layer expected(config, weights);
    const Core expected_core(config, weights);
    State expected_state(config, B);
    const std::vector<float> x = make_input(problem);
    std::vector<float> y(B * 20 * H, -77);
    const std::int64_t extents[] = {B, T, H}, of_core[] = {B, T, 8}, too_many[] = {B, 21, H};
    constexpr std::int64_t lengths[] = {3, T + 1};
    const float scale = 2;
    const auto check = [](aft_status status, aft_status expected_status, const auto &same_in_cpp) {
        const std::string message = aft_last_error();
        CHECK(status == expected_status);
        CHECK_THROWS_WITH(same_in_cpp(), message);
    };
    const auto check_call = [&](const LayerCall &call) {
        const aft_sight sight = c_sight(call.sight);
        const aft_layer_inputs inputs = c_inputs(call, &sight);
        check(aft_layer_call(layer.get(), &inputs, extents, y.data(), nullptr), AFT_ERROR_SHAPE,
              [&] { expected.forward(call, {y.data(), {B, T, H}}); });
    };
    LayerCall call;
    check_call(call);
    call.query = {nullptr, {B, T, H}};
    check_call(call);
    call.query = rows(x, 0, T - 1);
    check_call(call);
    call.query = rows(x, 0, T);
    call.key = rows(x, 0, T - 1);
    check_call(call);
    call.key = {y.data(), {B, T, H}};
    check_call(call);
    call.key = {};
    call.sight.bias_scale = scale;
    check_call(call);
    call.sight = {};
    call.sight.lengths = {lengths, {B}};
    check_call(call);
    const bool mask[B * T * T] = {};
    call.sight = {};
    call.sight.mask = {mask, {B, T, T - 1}};
    check_call(call);

    const aft_tensor key = {x.data(), {B, T, H + 1}, nullptr};
    aft_sources *sources = nullptr;
    check(aft_sources_create(layer.get(), &key, nullptr, &sources), AFT_ERROR_SHAPE,
          [&] { expected.sources({x.data(), {B, T, H + 1}}); });
    CHECK(!sources);

    check(aft_layer_step(layer.get(), state.get(), too_many, y.data(), nullptr, nullptr, y.data(), nullptr),
          AFT_ERROR_SHAPE, [&] { expected.step(expected_state, {y.data(), {B, 21, H}}, {y.data(), {B, 21, H}}); });
    check(aft_layer_step(layer.get(), state.get(), extents, x.data(), nullptr, lengths, y.data(), nullptr),
          AFT_ERROR_SHAPE,
          [&] { expected.step(expected_state, {x.data(), {B, T, H}}, {y.data(), {B, T, H}}, {lengths, {B}}); });
    CoreCall core_call;
    core_call.query = core_call.key = core_call.value = {x.data(), {B, T, 8}};
    core_call.sight.mask = {mask, {B, T, T}};
    const aft_sight sight = c_sight(core_call.sight);
    const aft_core_inputs inputs = c_inputs(core_call, &sight);
    check(aft_core_step(core.get(), state.get(), &inputs, of_core, y.data(), nullptr), AFT_ERROR_SHAPE,
          [&] { expected_core.step(expected_state, core_call, {y.data(), {B, T, 8}}); });
    const CState of_another = c_state(small(aft_wkv).config, B);
    State expected_other(small(aft_wkv).config, B);
    check(aft_layer_step(layer.get(), of_another.get(), extents, x.data(), nullptr, nullptr, y.data(), nullptr),
          AFT_ERROR_CONFIG, [&] { expected.step(expected_other, {x.data(), {B, T, H}}, {y.data(), {B, T, H}}); });
    check(aft_state_copy_sample(state.get(), 0, of_another.get(), 0), AFT_ERROR_CONFIG,
          [&] { expected_state.copy(0, expected_other, 0); });
    check(aft_state_copy_sample(state.get(), 2, state.get(), 0), AFT_ERROR_SHAPE,
          [&] { expected_state.copy(2, expected_state, 0); });
    check(aft_state_reset(state.get(), -1), AFT_ERROR_SHAPE, [&] { expected_state.reset(-1); });
    std::int64_t position = -1;
    check(aft_state_position(state.get(), 2, &position), AFT_ERROR_SHAPE, [&] { expected_state.position(2); });
    CHECK(position == -1);

    const aft_config full = c_config(small(aft_full).config), as_c = c_config(config);
    aft_state *no_state = nullptr;
    check(aft_state_create(&full, B, &no_state), AFT_ERROR_CONFIG, [&] { State(small(aft_full).config, B); });
    check(aft_state_create(&as_c, -1, &no_state), AFT_ERROR_SHAPE, [&] { State(config, -1); });
    const TemporaryFile file;
    write_safetensors(file.path(), expected_other.tensors());
    check(aft_state_load(file.path().c_str(), &as_c, &no_state), AFT_ERROR_WEIGHTS,
          [&] { State::from_tensors(read_safetensors(file.path()), config); });
    check(aft_state_save(state.get(), "/no/such/folder/state"), AFT_ERROR_WEIGHTS,
          [&] { write_safetensors("/no/such/folder/state", expected_state.tensors()); });
    CHECK(!no_state);

    aft_core *no_core = nullptr;
    check(aft_core_create(&as_c, nullptr, nullptr, &no_core), AFT_ERROR_WEIGHTS, [&] { Core{config}; });
    CHECK(!no_core);
    CHECK(std::count(y.begin(), y.end(), -77) == static_cast<std::ptrdiff_t>(y.size()));
    CHECK(position_of(state, 0) == 0);
}
