#include "faults.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::int64_t P = 6, S = 20, B = 3;

LayerConfig config_of(LayerForm form) {
    LayerConfig config{form, 8, P, S, form.has_window() ? 4 : 0};
    config.heads = form.bias == PositionBias::convolution ? 2 : 1;
    return config;
}

/// The causal forms whose kernels this build has.
std::vector<LayerForm> stepping_forms() {
    const bool has_scan = std::any_of(kernels().begin(), kernels().end(), [](const KernelInfo &kernel) {
        return kernel.api == "cpu" && kernel.operation == "scan";
    });
    std::vector<LayerForm> forms;
    for (const NamedForm &named : named_forms) {
        const bool has_state = named.form.is_causal() && named.form.bias != PositionBias::given;
        if (has_state && (has_scan || named.form.bias == PositionBias::dense)) {
            forms.push_back(named.form);
        }
    }
    return forms;
}

/// A layer on the CPU and what it steps through.
struct Stepper {
    Problem problem;
    Layer layer;
    std::vector<float> x;
    State state;

    explicit Stepper(LayerForm form) : Stepper(Problem{config_of(form), {B, S}}) {}
    explicit Stepper(const Problem &any)
        : problem(any), layer(problem.config, make_weights(problem), {"", "cpu"}), x(make_input(problem)),
          state(problem.config, B) {}

    /// The next positions of each sequence, as many as `lengths` says.
    std::vector<float> step(const std::vector<std::int64_t> &lengths) {
        const std::int64_t n = *std::max_element(lengths.begin(), lengths.end()), H = problem.config.hidden,
                           T = problem.shape.seq;
        std::vector<float> input(B * n * H, std::numeric_limits<float>::quiet_NaN()), y(input.size());
        for (std::int64_t b = 0; b < B; ++b) {
            std::copy_n(x.begin() + (b * T + state.position(b)) * H, lengths[b] * H, input.begin() + b * n * H);
        }
        layer.step(state, {input.data(), {B, n, H}}, {y.data(), {B, n, H}}, {lengths.data(), {B}});
        return y;
    }
};

}  // namespace

TEST_CASE("a state begins at position 0 and counts what each sequence has seen", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        INFO(name(form));
        Stepper steps(form);
        CHECK(steps.state.batch() == B);
        CHECK(steps.state.position(2) == 0);
        steps.step({2, 0, 5});
        steps.step({1, 3, 0});
        CHECK(steps.state.position(0) == 3);
        CHECK(steps.state.position(1) == 3);
        CHECK(steps.state.position(2) == 5);
        CHECK_THROWS_WITH(steps.state.position(3), "sample is 3, must be 0 to 2");
        CHECK_THROWS_AS(steps.state.position(-1), ShapeError);
        steps.state.reset(2);
        CHECK(steps.state.position(2) == 0);
        CHECK(steps.state.position(1) == 3);
    }
}

TEST_CASE("a sequence has the same bits alone, beside others at other positions, and after a reset", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        INFO(name(form));
        const std::int64_t H = config_of(form).hidden;
        Stepper ragged(form), even(form);
        const std::vector<float> first = even.step({2, 2, 2}), second = even.step({3, 3, 3});
        ragged.step({0, 2, 4});
        const std::vector<float> y = ragged.step({2, 3, 1});
        // Sample 0 takes its first step, sample 1 its second one.
        CHECK(std::equal(y.begin(), y.begin() + 2 * H, first.begin()));
        CHECK(std::all_of(y.begin() + 2 * H, y.begin() + 3 * H, [](float value) { return value == 0; }));
        CHECK(std::equal(y.begin() + 3 * H, y.begin() + 6 * H, second.begin() + 3 * H));
        even.state.reset(1);
        const std::vector<float> again = even.step({0, 2, 0});
        CHECK(std::equal(again.begin() + 2 * H, again.begin() + 4 * H, first.begin() + 2 * H));
        CHECK(std::all_of(again.begin(), again.begin() + 2 * H, [](float value) { return value == 0; }));
    }
}

TEST_CASE("copies of a state go their own ways", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        INFO(name(form));
        Stepper steps(form);
        steps.step({4, 4, 4});
        const State copy = steps.state;
        const std::vector<float> expected = steps.step({2, 2, 2});
        State moved = std::move(steps.state);
        CHECK(moved.position(0) == 6);
        steps.state = copy;
        CHECK(steps.step({2, 2, 2}) == expected);
        moved.copy(1, copy, 1);
        CHECK(moved.position(1) == 4);
        steps.state = moved;
        const std::vector<float> y = steps.step({0, 2, 0});
        const std::int64_t size = 2 * steps.problem.config.hidden;
        CHECK(std::equal(y.begin() + size, y.begin() + 2 * size, expected.begin() + size));
        CHECK_THROWS_AS(moved.copy(3, copy, 0), ShapeError);
        CHECK_THROWS_WITH(moved.copy(0, copy, 3), "from_sample is 3, must be 0 to 2");
        LayerConfig other = steps.problem.config;
        other.projected = 2 * P;
        CHECK_THROWS_AS(moved.copy(0, State(other, 1), 0), ConfigError);
    }
}

TEST_CASE("a state whose kernel keeps exponentials of many sources steps to what the reference gives", "[state]") {
    for (const Data data : {Data::normal, Data::outliers, Data::rising_keys}) {
        Problem problem{{aft_causal_full, 60, 20, 620}, {B, 620}, data};
        INFO(describe(problem));
        const Reference reference =
            reference_forward(problem.config, make_weights(problem), make_input(problem), problem.shape);
        Stepper steps(problem), other(problem);
        const std::int64_t H = problem.config.hidden;
        const auto step = [&](Stepper &stepper, const std::vector<std::int64_t> &lengths) {
            std::vector<std::int64_t> first(B);
            for (std::int64_t b = 0; b < B; ++b) {
                first[b] = stepper.state.position(b) * H;
            }
            const std::vector<float> y = stepper.step(lengths);
            const std::int64_t n = static_cast<std::int64_t>(y.size()) / B;
            for (std::int64_t b = 0; b < B; ++b) {
                const std::int64_t begin = b * problem.shape.seq * H + first[b], end = begin + lengths[b] * H;
                const Reference expected{{reference.output.begin() + begin, reference.output.begin() + end},
                                         {reference.tolerance.begin() + begin, reference.tolerance.begin() + end}};
                CHECK(error_in_tolerances(expected, {y.begin() + b * n, y.begin() + b * n + lengths[b] * H}) <= 1);
            }
        };
        step(steps, {250, 256, 3});   // too many targets for kept exponentials
        step(steps, {1, 1, 1});       // the first that are made
        step(steps, {10, 0, 16});     // across the end of a chunk, and not at all
        step(steps, {30, 254, 236});  // again without: the rows have none yet
        for (int i = 0; i < 6; ++i) {
            step(steps, {2, 1, 1});
        }
        step(other, {3, 300, 16});
        other.state.copy(1, steps.state, 1);  // from one that has them to one that has some
        step(other, {7, 2, 1});
        steps.state.copy(2, State(problem.config, 1), 0);  // one that has none
        step(steps, {4, 4, 4});
        const State copy = steps.state;
        step(steps, {3, 3, 3});
        steps.state = copy;
        step(steps, {1, 16, 2});
        steps.state = State::from_tensors(steps.state.tensors(), problem.config);
        step(steps, {5, 5, 5});
    }
}

TEST_CASE("a state that was saved and read goes on with the same bits", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        INFO(name(form));
        Stepper steps(form);
        steps.step({4, 1, 9});
        State read = State::from_tensors(steps.state.tensors(), steps.problem.config);
        for (std::int64_t b = 0; b < B; ++b) {
            CHECK(read.position(b) == steps.state.position(b));
        }
        const std::vector<float> expected = steps.step({3, 3, 3});
        steps.state = std::move(read);
        CHECK(steps.step({3, 3, 3}) == expected);
    }
}

TEST_CASE("everything that doesn't fit a state in a file is told at once", "[state]") {
    const LayerConfig config = config_of(aft_causal_full);
    const SafetensorsFile good = State(config, 2).tensors();
    CHECK_NOTHROW(State::from_tensors(good, config));
    SafetensorsFile bad = good;
    bad.tensors["keys"].extents = {2, P, S};
    bad.tensors.erase("values");
    bad.tensors["other"] = stored_tensor({1}, {0});
    bad.tensors["position"].bytes[8] = std::byte{S + 1};
    CHECK_THROWS_AS(State::from_tensors(bad, config), WeightsError);
    CHECK_THROWS_WITH(State::from_tensors(bad, config),
                      ContainsSubstring("position of sample 1 is 21, must be 0 to 20") &&
                          ContainsSubstring("keys is [2, 6, 20], must be [2, 20, 6]") &&
                          ContainsSubstring("values is missing") && ContainsSubstring("other is no tensor of a state"));
    bad.tensors["position"] = stored_tensor({2}, {0, 0});
    CHECK_THROWS_WITH(State::from_tensors(bad, config), ContainsSubstring("position is F32, must be I64"));
    CHECK_THROWS_WITH(State::from_tensors({}, config), ContainsSubstring("position is missing"));
    CHECK_THROWS_WITH(State::from_tensors(good, config_of(aft_wkv)),
                      ContainsSubstring("the state is one of layer causal_full, not wkv"));
}

TEST_CASE("forms without a state, and states that are too large, are refused", "[state]") {
    CHECK_THROWS_AS(State(config_of(aft_full), 1), ConfigError);
    CHECK_THROWS_WITH(State(config_of(aft_full), 1), "layer full has no state: it isn't causal");
    CHECK_THROWS_WITH(State(config_of(aft_causal_given), 1),
                      "layer causal_given has no state: its bias is given by each call");
    CHECK_THROWS_AS(State(config_of(aft_wkv), -1), ShapeError);
    CHECK_THROWS_WITH(State(config_of(aft_wkv), 1'000'000'000),
                      "a state of batch 1000000000 has more than 2147483647 elements");
    CHECK(State(config_of(aft_wkv), 0).batch() == 0);
}

TEST_CASE("a step that is refused changes neither y nor the state", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        INFO(name(form));
        Stepper steps(form);
        steps.step({5, 5, 5});
        const State before = steps.state;
        const std::vector<float> expected = steps.step({2, 2, 2});
        steps.state = before;

        const std::int64_t H = steps.problem.config.hidden;
        std::vector<float> y(B * S * H, -1);
        const TensorView<const float, 3> x(steps.x.data(), {B, 2, H});
        const TensorView<float, 3> to(y.data(), {B, 2, H});
        const std::vector<std::int64_t> lengths = {1, 3, 2};
        CHECK_THROWS_WITH(steps.layer.step(steps.state, x, to, {lengths.data(), {B}}),
                          "lengths: sample 1 is 3, must be 0 to 2");
        CHECK_THROWS_WITH(steps.layer.step(steps.state, x, to, {lengths.data(), {2}}), "lengths is [2], must be [3]");
        CHECK_THROWS_WITH(steps.layer.step(steps.state, {steps.x.data(), {2, 2, H}}, {y.data(), {2, 2, H}}),
                          "batch is 2, must be 3 like that of the state");
        CHECK_THROWS_WITH(steps.layer.step(steps.state, to, to), "y overlaps x in memory");
        const bool has_limit = form.bias == PositionBias::dense || form.bias == PositionBias::banded;
        if (has_limit) {
            CHECK_THROWS_AS(steps.layer.step(steps.state, {steps.x.data(), {B, 16, H}}, {y.data(), {B, 16, H}}),
                            ShapeError);
            CHECK_THROWS_WITH(steps.layer.step(steps.state, {steps.x.data(), {B, 16, H}}, {y.data(), {B, 16, H}}),
                              "sample 0 is at position 5 and has 16 more, must stay within max_seq_len 20");
        }
        LayerConfig other = steps.problem.config;
        other.projected = 2 * P;
        State of_other(other, B);
        CHECK_THROWS_AS(steps.layer.step(of_other, x, to), ConfigError);
        CHECK(std::count(y.begin(), y.end(), -1) == static_cast<std::ptrdiff_t>(y.size()));
        for (std::int64_t b = 0; b < B; ++b) {
            CHECK(steps.state.position(b) == 5);
        }
        CHECK(steps.step({2, 2, 2}) == expected);
    }
}

TEST_CASE("whichever allocation of a step fails, the state is what it was before", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        INFO(name(form));
        Stepper steps(form);
        steps.step({5, 4, 3});
        const State before = steps.state;
        const std::vector<float> expected = steps.step({2, 2, 2});
        int failures = 0;
        for (std::int64_t n = 0; n < 200; ++n) {
            Stepper fresh(form);  // the others have their memory already
            fresh.state = before;
            const std::int64_t H = fresh.problem.config.hidden;
            std::vector<float> input(B * 2 * H), y(input.size());
            for (std::int64_t b = 0; b < B; ++b) {
                std::copy_n(fresh.x.begin() + (b * S + fresh.state.position(b)) * H, 2 * H, input.begin() + b * 2 * H);
            }
            bool happened = true;
            try {
                const AllocationFault fault(n);
                fresh.layer.step(fresh.state, {input.data(), {B, 2, H}}, {y.data(), {B, 2, H}});
                happened = fault.happened();
                CHECK(y == expected);
                break;
            } catch (const std::exception &) {
                ++failures;
            }
            CHECK(happened);
            CHECK(fresh.state.position(1) == 4);
            CHECK(fresh.step({2, 2, 2}) == expected);
        }
        CHECK(failures > 0);
    }
}

TEST_CASE("the second step of a shape allocates nothing", "[state]") {
    for (const LayerForm form : stepping_forms()) {
        for (const int threads : {1, 2}) {
            INFO(name(form) << " with " << threads << " threads");
            const ThreadCount set(threads);
            Stepper steps(form);
            const std::int64_t H = steps.problem.config.hidden;
            std::vector<float> y(B * H);
            const TensorView<const float, 3> x(steps.x.data(), {B, 1, H});
            const TensorView<float, 3> to(y.data(), {B, 1, H});
            const auto begin_again = [&] {
                for (std::int64_t b = 0; b < B; ++b) {
                    steps.state.reset(b);
                }
                return allocations();
            };
            const auto eight_steps = [&] {
                for (int i = 0; i < 8; ++i) {
                    steps.layer.step(steps.state, x, to);
                }
            };
            eight_steps();  // the sources of causal_full become more with each one
            const std::int64_t before = begin_again();
            const std::size_t bytes = steps.layer.scratch_bytes();
            eight_steps();
            CHECK(allocations() == before);
            CHECK(steps.layer.scratch_bytes() == bytes);
        }
    }
}
