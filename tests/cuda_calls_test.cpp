#include "fake_device.h"
#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cstring>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::int64_t B = 2, n = 5, H = 6, P = 4, S = 9;
constexpr TensorView<float, 3>::Extents extents = {B, n, H};

Problem problem_of(const LayerForm &form) {
    return {{form, H, P, S, form.has_window() ? 3 : 0}, {B, n}};
}

LayerForm with_gate(LayerForm form, Gate gate) {
    form.gate = gate;
    return form;
}

Layer make_layer(const LayerForm &form, const std::string &device = "cuda:0") {
    const Problem problem = problem_of(form);
    return Layer(problem.config, make_weights(problem), {"", device});
}

/// Memory of the device with these values.
class OnDevice {
public:
    explicit OnDevice(const std::vector<float> &values)
        : data(static_cast<float *>(fake().allocate(0, values.size() * sizeof(float)))), size_(values.size()) {
        std::copy(values.begin(), values.end(), data);
    }
    ~OnDevice() {
        fake().release(data);
    }
    OnDevice(const OnDevice &) = delete;
    OnDevice &operator=(const OnDevice &) = delete;

    std::vector<float> values() const {
        return {data, data + size_};
    }

    float *const data;

private:
    const std::size_t size_;
};

/// Forms that are composed of kernels, and see all before a target through them.
const LayerForm composed_forms[] = {with_gate(aft_full, Gate::tanh),
                                    with_gate(aft_local, Gate::none),
                                    with_gate(aft_simple, Gate::tanh),
                                    aft_causal_full,
                                    aft_causal_simple,
                                    aft_wkv};

}  // namespace

TEST_CASE("a composed layer on device views copies nothing, allocates once and runs on the caller's stream", "[cuda]") {
    const NothingLeft after;
    for (const LayerForm &form : composed_forms) {
        INFO(name(form));
        const Layer layer = make_layer(form);
        const std::vector<float> input = make_input(problem_of(form));
        const std::vector<float> expected = run(layer, input, {B, n});
        const OnDevice x(input), y(std::vector<float>(input.size(), -1));
        int stream = 0, allocations = 0;
        for (int call = 0; call < 2; ++call) {
            const int copies = fake().copies_in + fake().copies_out, launches = fake().launches;
            allocations = fake().allocations;
            layer.forward(DeviceView<const float, 3>{{x.data, extents}}, DeviceView<float, 3>{{y.data, extents}},
                          &stream);
            CHECK(fake().stream == &stream);
            CHECK(fake().copies_in + fake().copies_out == copies);
            CHECK(fake().launches > launches);
            CHECK(y.values() == expected);
        }
        CHECK(fake().allocations == allocations);
    }
}

TEST_CASE("a call on a device in parts has the bits of one call", "[cuda][parts]") {
    const NothingLeft after;
    for (const LayerForm &form : {aft_full, with_gate(aft_simple, Gate::tanh), aft_wkv}) {
        INFO(name(form));
        const Layer layer = make_layer(form);
        const std::vector<float> input = make_input(problem_of(form));
        const std::vector<float> expected = run(layer, input, {B, n});
        const OnDevice x(input), y(std::vector<float>(input.size(), -1));
        const ElementLimit limit(n * H);  // of one sample
        CHECK(run(layer, input, {B, n}) == expected);
        layer.forward(DeviceView<const float, 3>{{x.data, extents}}, DeviceView<float, 3>{{y.data, extents}});
        layer.synchronize();
        CHECK(y.values() == expected);
    }
}

TEST_CASE("a layer that keeps rows within a window takes no device views", "[cuda]") {
    const NothingLeft after;
    for (const LayerForm &form : {aft_causal_local, aft_conv}) {
        const Layer layer = make_layer(form);
        const std::vector<float> input = make_input(problem_of(form));
        const OnDevice x(input), y(std::vector<float>(input.size(), -1));
        const auto forward = [&] {
            layer.forward(DeviceView<const float, 3>{{x.data, extents}}, DeviceView<float, 3>{{y.data, extents}});
        };
        CHECK_THROWS_AS(forward(), DeviceError);
        CHECK_THROWS_WITH(forward(), ContainsSubstring(std::string(name(form))));
        CHECK(y.values() == std::vector<float>(input.size(), -1));
    }
}

TEST_CASE("whichever allocation of a composed call fails, nothing leaks and the next call works", "[cuda]") {
    const NothingLeft after;
    for (const LayerForm &form : {with_gate(aft_simple, Gate::tanh), aft_causal_full, aft_causal_local, aft_wkv}) {
        INFO(name(form));
        const std::vector<float> x = make_input(problem_of(form));
        const std::vector<float> expected = run(make_layer(form), x, {B, n});
        int failures = 0;
        for (std::int64_t left = 0;; ++left) {
            const Layer layer = make_layer(form);
            const int live = fake().live;
            try {
                const Failing memory(fake().allocations_left, left);
                run(layer, x, {B, n});
                break;
            } catch (const DeviceError &error) {
                ++failures;
                CHECK_THAT(error.what(), ContainsSubstring("cuda:0: ") && ContainsSubstring("OUT_OF_MEMORY"));
            }
            CHECK(fake().live - live <= left);  // what the allocator keeps
            CHECK(run(layer, x, {B, n}) == expected);
        }
        CHECK(failures > 4);
    }
}

TEST_CASE("whichever allocation fails as a composed layer is made, nothing is left of it", "[cuda]") {
    const NothingLeft after;
    int failures = 0;
    for (std::int64_t left = 0;; ++left) {
        const Failing memory(fake().allocations_left, left);
        try {
            make_layer(aft_wkv);
            break;
        } catch (const DeviceError &error) {
            ++failures;
            CHECK_THAT(error.what(), ContainsSubstring("cuda:0") && ContainsSubstring("OUT_OF_MEMORY"));
        }
        CHECK(fake().live == 0);
    }
    CHECK(failures >= 7);
}

TEST_CASE("a step whose allocation fails leaves the state as it was", "[cuda]") {
    const NothingLeft after;
    for (const LayerForm &form : {aft_causal_full, aft_causal_simple, aft_causal_local, aft_conv, aft_wkv}) {
        INFO(name(form));
        const Layer layer = make_layer(form);
        const std::vector<float> input = make_input(problem_of(form));
        const auto step = [&](State &state, std::int64_t first, std::int64_t count) {
            std::vector<float> y(B * count * H, -1);
            const TensorView<const float, 3> x(input.data() + first * H, {B, count, H}, {n * H, H, 1});
            layer.step(state, x, {y.data(), {B, count, H}});
            return y;
        };
        State straight(layer.config(), B);
        step(straight, 0, 2);
        const std::vector<float> expected = step(straight, 2, 3);
        int failures = 0;
        for (std::int64_t left = 0;; ++left) {
            State state(layer.config(), B);
            step(state, 0, 2);
            make_layer(form);  // which goes: no unused memory is left
            const Layer fresh = make_layer(form);
            try {
                const Failing memory(fake().allocations_left, left);
                std::vector<float> y(B * 3 * H, -1);
                const TensorView<const float, 3> x(input.data() + 2 * H, {B, 3, H}, {n * H, H, 1});
                fresh.step(state, x, {y.data(), {B, 3, H}});
                break;
            } catch (const DeviceError &error) {
                ++failures;
                CHECK_THAT(error.what(), ContainsSubstring("cuda:0: ") && ContainsSubstring("OUT_OF_MEMORY"));
            }
            CHECK(state.position(0) == 2);
            CHECK(step(state, 2, 3) == expected);
        }
        CHECK(failures > 0);
    }
}

TEST_CASE("a kernel that fails within a step leaves the state as it was", "[cuda]") {
    const NothingLeft after;
    const Layer layer = make_layer(aft_wkv);
    const std::vector<float> input = make_input(problem_of(aft_wkv));
    std::vector<float> y(input.size(), -1), expected = run(layer, input, {B, n});
    State state(layer.config(), B);
    {
        const Failing launch(fake().launch_result, 700);
        CHECK_THROWS_AS(layer.step(state, {input.data(), extents}, {y.data(), extents}), KernelError);
    }
    CHECK(state.position(0) == 0);
    layer.step(state, {input.data(), extents}, {y.data(), extents});
    CHECK(y == expected);
}
