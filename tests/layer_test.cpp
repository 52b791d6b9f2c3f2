#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <thread>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

const Problem small{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};

using Strides = TensorView<float, 3>::Extents;

/// Room for every tensor of the tests, and a value that kernels don't write.
struct Memory {
    std::vector<float> x = std::vector<float>(10'000, 0.5f), y = std::vector<float>(10'000, -77);

    bool untouched() const {
        return std::count(y.begin(), y.end(), -77) == static_cast<std::ptrdiff_t>(y.size());
    }
};

/// The call is refused with `problem` in its message, and y isn't written.
void check_refused(const TensorView<const float, 3> &x, const TensorView<float, 3> &y, const Memory &memory,
                   const std::string &problem) {
    static const Layer layer(small.config, make_weights(small));
    INFO(problem);
    CHECK_THROWS_AS(layer.forward(x, y), ShapeError);
    CHECK_THROWS_WITH(layer.forward(x, y), ContainsSubstring(problem));
    CHECK(memory.untouched());
}

void check_extents_refused(const Strides &extents, const std::string &problem) {
    Memory memory;
    check_refused({memory.x.data(), extents}, {memory.y.data(), extents}, memory, problem);
}

void check_strides_refused(const Strides &strides, const std::string &problem) {
    Memory memory;
    const Strides extents = {2, 17, 12};
    check_refused({memory.x.data(), extents, strides}, {memory.y.data(), extents}, memory, "x: " + problem);
    check_refused({memory.x.data(), extents}, {memory.y.data(), extents, strides}, memory, "y: " + problem);
}

/// y at these strides of x at these strides is the y of dense tensors.
void check_strides_taken(const Strides &strides) {
    const Layer layer(small.config, make_weights(small));
    const std::vector<float> x = make_input(small), expected = run(layer, x, small.shape);
    const Strides extents = {2, 17, 12};
    const auto at = [&](std::size_t i) {
        return i / (17 * 12) * strides[0] + i / 12 % 17 * strides[1] + i % 12 * strides[2];
    };
    Memory memory;
    for (std::size_t i = 0; i < x.size(); ++i) {
        memory.x[at(i)] = x[i];
    }
    layer.forward(TensorView<float, 3>{memory.x.data(), extents, strides}, {memory.y.data(), extents, strides});
    for (std::size_t i = 0; i < x.size(); ++i) {
        REQUIRE(memory.y[at(i)] == expected[i]);
    }
}

void check_config_refused(const LayerConfig &config, const std::string &problem) {
    CHECK_THROWS_AS(Layer(config, {}), ConfigError);
    CHECK_THROWS_WITH(Layer(config, {}), problem);
}

}  // namespace

TEST_CASE("forms of layers have names", "[layer]") {
    for (const NamedForm &named : named_forms) {
        CHECK(name(named.form) == named.name);
        CHECK(layer_form(named.name) == named.form);
    }
    CHECK_THROWS_WITH(layer_form("global"),
                      StartsWith("layer 'global' doesn't exist: must be one of full, simple, local"));
}

TEST_CASE("a config that makes no sense is refused", "[layer]") {
    check_config_refused({aft_full, 0, 1, 1, 0}, "hidden is 0, must be 1 to 2147483647");
    check_config_refused({aft_full, 1, -3, 1, 0}, "projected is -3, must be 1 to 2147483647");
    check_config_refused({aft_simple, 1, 1, 2147483648, 0}, "max_seq_len is 2147483648, must be 1 to 2147483647");
    check_config_refused({aft_local, 1, 1, 1, -1}, "window is -1, must be at least 0");
    const LayerConfig unknown{{static_cast<PositionBias>(9)}, 1, 1, 1, 0};
    CHECK_THROWS_AS(Layer(unknown, {}), ConfigError);
    CHECK_THROWS_WITH(Layer(unknown, {}),
                      StartsWith("no layer has position bias 9 and reach 0: must be the form of full, simple, local"));
}

TEST_CASE("parameters of more elements than kernels can count are refused", "[layer]") {
    CHECK_THROWS_AS(Layer({aft_full, 1, 1, 46341, 0}, {}), ShapeError);
    CHECK_THROWS_WITH(Layer({aft_full, 1, 1, 46341, 0}, {}),
                      "wbias [46341, 46341] has 2147488281 elements, the limit is 2147483647");
    CHECK_THROWS_WITH(Layer({aft_simple, 2147483647, 2147483647, 1, 0}, {}), ContainsSubstring("to_q.weight"));
    CHECK_THROWS_AS(Layer({aft_simple, 1, 1, 46341, 0}, {}), WeightsError);  // has no wbias
}

TEST_CASE("a layer may have a max_seq_len beyond all sequences that kernels can count", "[layer]") {
    for (const std::int64_t hidden : {1, 3, 64}) {
        const Problem problem{{aft_simple, hidden, 8, 20, 0}, {2, 20}};
        const Weights weights = make_weights(problem);
        const std::vector<float> x = make_input(problem);
        LayerConfig unlimited = problem.config;
        unlimited.max_seq_len = 2147483647;
        CHECK(same_bits(run(Layer(unlimited, weights), x, problem.shape),
                        run(Layer(problem.config, weights), x, problem.shape)));
    }
}

TEST_CASE("a window whose rows kernels can't count is refused when the core is made", "[layer]") {
    const LayerConfig config{aft_conv, 0, 70'000, 1, 40'000};
    Weights weights;
    weights.position_bias.assign(config.window, 0.0f);
    CHECK_THROWS_AS(Core(config, weights, {"", "cpu"}), ShapeError);
    CHECK_THROWS_WITH(Core(config, weights, {"", "cpu"}),
                      ContainsSubstring("k [1, 40000, 70000] spans more than 2147483647 elements"));
}

TEST_CASE("extents that a layer can't take are refused before y is written", "[layer]") {
    check_extents_refused({-1, 17, 12}, "x: batch is -1, must be at least 0");
    check_extents_refused({2, -1, 12}, "x: seq is -1, must be 0 to max_seq_len 20");
    check_extents_refused({2, 21, 12}, "x: seq is 21, must be 0 to max_seq_len 20");
    check_extents_refused({2, 17, 13}, "x: hidden is 13, must be 12");
    check_extents_refused({2, 17, 0}, "x: hidden is 0, must be 12");
    check_extents_refused({1'000'000'000'000'000'000, 1, 12}, "x: the batch stride is 12, must be at most 1");
    Memory memory;
    check_refused({memory.x.data(), {2, 17, 12}}, {memory.y.data(), {2, 16, 12}}, memory,
                  "y is [2, 16, 12], must be [2, 17, 12] like x");
    check_refused({memory.x.data(), {2, 17, 12}}, {memory.y.data(), {1, 17, 12}}, memory, "y is [1, 17, 12]");
    check_refused({nullptr, {2, 17, 12}}, {memory.y.data(), {2, 17, 12}}, memory, "x: data is null");
    check_refused({memory.x.data(), {2, 17, 12}}, {nullptr, {2, 17, 12}}, memory, "y: data is null");
}

TEST_CASE("a call with nothing in it succeeds and writes nothing", "[layer]") {
    Memory memory;
    for (const Device &device : devices()) {
        if (!device.usable) {
            continue;
        }
        INFO(device.id);
        const Layer layer(small.config, make_weights(small), {"", device.id});
        for (const Strides &extents : {Strides{0, 17, 12}, Strides{2, 0, 12}, Strides{0, 0, 12}}) {
            layer.forward(TensorView<const float, 3>(memory.x.data(), extents), {memory.y.data(), extents});
            layer.forward(TensorView<const float, 3>(nullptr, extents), {nullptr, extents});
            layer.forward(TensorView<const float, 3>(nullptr, extents, {0, -7, 2}), {nullptr, extents, {1, 0, 0}});
            layer.forward(TensorView<const float, 3>(memory.y.data(), extents), {memory.y.data(), extents});
            CHECK(layer.kernel_for({extents[0], extents[1]}).api == device.api);
        }
        CHECK(memory.untouched());
        CHECK(layer.scratch_bytes() == 0);
    }
}

TEST_CASE("the extents of a call with nothing in it are checked all the same", "[layer]") {
    check_extents_refused({0, 21, 12}, "x: seq is 21, must be 0 to max_seq_len 20");
    check_extents_refused({0, -1, 12}, "x: seq is -1, must be 0 to max_seq_len 20");
    check_extents_refused({0, 17, 13}, "x: hidden is 13, must be 12");
    check_extents_refused({-1, 0, 12}, "x: batch is -1, must be at least 0");
    Memory memory;
    check_refused({nullptr, {0, 17, 12}}, {nullptr, {0, 16, 12}}, memory,
                  "y is [0, 16, 12], must be [0, 17, 12] like x");
    check_refused({nullptr, {0, 17, 12}}, {memory.y.data(), {2, 17, 12}}, memory, "y is [2, 17, 12]");
    check_refused({memory.x.data(), {2, 17, 12}}, {nullptr, {0, 17, 12}}, memory, "y is [0, 17, 12]");
}

TEST_CASE("strides that a layer can't take are refused before y is written", "[layer]") {
    check_strides_refused({17 * 12, 12, 2}, "the stride of the channels is 2, must be 1");
    check_strides_refused({17 * 12, 12, -1}, "the stride of the channels is -1, must be 1");
    check_strides_refused({17 * 12, 11, 1}, "the row stride is 11, must be at least 12");
    check_strides_refused({17 * 12, -12, 1}, "the row stride is -12, must be at least 12");
    check_strides_refused({17 * 12 - 1, 12, 1}, "the batch stride is 203, must be at least 204");
    check_strides_refused({0, 12, 1}, "the batch stride is 0, must be at least 12");
    check_strides_refused({-17 * 12, 12, 1}, "the batch stride is -204, must be at least 12");
    check_strides_refused({13, 24, 1}, "the row stride is 24, must be at least 25");
    check_strides_refused({std::int64_t{1} << 60, 12, 1},
                          "the batch stride is 1152921504606846976, must be at most 576460752303423488");
    check_strides_refused({12, 2'000'000'000, 1}, "the row stride is 2000000000, must be at most 126322567");
    check_strides_refused({INT64_MAX, INT64_MAX, 1}, "the row stride is 9223372036854775807, must be at most");
}

TEST_CASE("rows and samples may lie at any distance, in either order", "[layer]") {
    check_strides_taken({17 * 12, 12, 1});
    check_strides_taken({17 * 12 + 5, 12, 1});
    check_strides_taken({400, 19, 1});
    check_strides_taken({12, 24, 1});  // time-major
    check_strides_taken({13, 31, 1});
}

TEST_CASE("the stride of a dimension of extent 1 doesn't matter", "[layer]") {
    const Layer layer(small.config, make_weights(small));
    const std::vector<float> x = make_input(small);
    std::vector<float> expected(12), y(12);
    layer.forward({x.data(), {1, 1, 12}}, {expected.data(), {1, 1, 12}});
    layer.forward({x.data(), {1, 1, 12}, {0, -7, 1}}, {y.data(), {1, 1, 12}, {INT64_MIN, INT64_MAX, 1}});
    CHECK(y == expected);
}

TEST_CASE("y must not overlap x", "[layer]") {
    Memory memory;
    const Strides extents = {2, 17, 12};
    float *data = memory.y.data();
    const std::int64_t size = 2 * 17 * 12;
    for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{1}, size - 1}) {
        check_refused({data, extents}, {data + offset, extents}, memory, "y overlaps x");
        check_refused({data + offset, extents}, {data, extents}, memory, "y overlaps x");
    }
    // Between the rows of x.
    check_refused({data, extents, {17 * 24, 24, 1}}, {data + 12, extents, {17 * 24, 24, 1}}, memory, "y overlaps x");
    const Layer layer(small.config, make_weights(small));
    CHECK_NOTHROW(layer.forward({data, extents}, {data + size, extents}));
    CHECK_NOTHROW(layer.forward({data + size, extents}, {data, extents}));
}

TEST_CASE("the kernel for a shape that the layer can't take is refused", "[layer]") {
    const Layer layer(small.config, make_weights(small));
    CHECK_THROWS_WITH(layer.kernel_for({-1, 1}), "batch is -1, must be at least 0");
    CHECK_THROWS_WITH(layer.kernel_for({1, -1}), "seq is -1, must be 0 to max_seq_len 20");
    CHECK_THROWS_WITH(layer.kernel_for({1, 21}), "seq is 21, must be 0 to max_seq_len 20");
    CHECK_THROWS_AS(layer.kernel_for({1, 21}), ShapeError);
}

TEST_CASE("a layer that is moved keeps its weights", "[layer]") {
    const std::vector<float> x = make_input(small);
    Layer layer(small.config, make_weights(small));
    const std::vector<float> expected = run(layer, x, small.shape);
    const Layer moved = std::move(layer);
    CHECK(run(moved, x, small.shape) == expected);
    CHECK(moved.config().max_seq_len == 20);
}

TEST_CASE("threads may share a layer", "[layer][callers]") {
    for (const NamedForm &named : named_forms) {
        const LayerForm form = named.form;
        if (form.takes_bias()) {
            continue;
        }
        const Problem problem{{form, 33, 21, 70, form.has_window() ? 9 : 0}, {3, 70}};
        const Layer layer(problem.config, make_weights(problem));
        const std::vector<float> x = make_input(problem);
        const Shape shapes[] = {{3, 70}, {1, 70}, {2, 41}, {1, 1}};
        std::vector<float> expected[4], result[4];
        const auto prefix = [&](const Shape &shape) {
            return std::vector<float>(x.begin(), x.begin() + shape.batch * shape.seq * problem.config.hidden);
        };
        for (int i = 0; i < 4; ++i) {
            expected[i] = run(layer, prefix(shapes[i]), shapes[i]);
        }
        std::vector<std::thread> callers;
        for (int i = 0; i < 4; ++i) {
            callers.emplace_back([&, i] {
                for (int repeat = 0; repeat < 20; ++repeat) {
                    result[i] = run(layer, prefix(shapes[i]), shapes[i]);
                    if (result[i] != expected[i]) {
                        return;
                    }
                }
            });
        }
        for (std::thread &caller : callers) {
            caller.join();
        }
        for (int i = 0; i < 4; ++i) {
            CHECK(result[i] == expected[i]);
        }
    }
}

TEST_CASE("the thread count is 1 to 256", "[layer]") {
    const ThreadCount three(3);
    CHECK(thread_count() == 3);
    CHECK_THROWS_AS(set_thread_count(0), ConfigError);
    CHECK_THROWS_WITH(set_thread_count(257), "thread count is 257, must be 1 to 256");
    CHECK_THROWS_WITH(set_thread_count(1000), "thread count is 1000, must be 1 to 256");
    CHECK(thread_count() == 3);
}
