#include "faults.h"
#include "reference/problem.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::int64_t B = 2, n = 5, m = 7, P = 6;

LayerConfig config_of(LayerForm form) {
    return {form, 0, P, 10, 0};
}

struct Tensors {
    std::vector<float> query = std::vector<float>(B * n * P, 0.25f), key = std::vector<float>(B * m * P, 0.5f),
                       value = std::vector<float>(B * m * P, 2.0f), bias = std::vector<float>(B * n * m, -1.0f),
                       y = std::vector<float>(B * n * P, -1.0f);

    CoreCall call() const {
        CoreCall result;
        result.query = {query.data(), {B, n, P}};
        result.key = {key.data(), {B, m, P}};
        result.value = {value.data(), {B, m, P}};
        result.sight.position_bias = {bias.data(), {B, n, m}};
        return result;
    }
    TensorView<float, 3> output() {
        return {y.data(), {B, n, P}};
    }
};

void check_refused(const Core &core, const CoreCall &call, Tensors &tensors, const std::string &message) {
    CHECK_THROWS_AS(core.forward(call, tensors.output()), ShapeError);
    CHECK_THROWS_WITH(core.forward(call, tensors.output()), message);
    CHECK(std::count(tensors.y.begin(), tensors.y.end(), -1) == static_cast<std::ptrdiff_t>(tensors.y.size()));
}

}  // namespace

TEST_CASE("a mean reads neither hidden nor projections, and no query without a gate", "[core]") {
    LayerConfig config = config_of(aft_given);
    config.form.gate = Gate::none;
    Tensors tensors;
    CoreCall call = tensors.call();
    call.query = {};
    const Core core(config, {}, {"", "cpu"});
    core.forward(call, tensors.output());
    CHECK(tensors.y == std::vector<float>(B * n * P, 2.0f));
    CHECK(core.kernel_for(n, m).operation == "core");
    CHECK(core.device().id == "cpu");
    CHECK(core.config().projected == P);
}

TEST_CASE("tensors of a mean that don't fit each other are refused before y is written", "[core]") {
    const Core core(config_of(aft_given), {}, {"", "cpu"});
    Tensors tensors;
    CoreCall call = tensors.call();
    call.query = {};
    check_refused(core, call, tensors, "query: projected is 0, must be 6");
    call.query = {nullptr, {B, n, P}};
    check_refused(core, call, tensors, "query: data is null");
    call.query = {tensors.query.data(), {B, n - 1, P}};
    check_refused(core, call, tensors, "y is [2, 5, 6], must be [2, 4, 6] like query");
    call = tensors.call();
    call.value.extents[1] = m - 1;
    check_refused(core, call, tensors, "value is [2, 6, 6], must be [2, 7, 6] like key");
    call = tensors.call();
    call.key.extents[0] = call.value.extents[0] = 1;
    check_refused(core, call, tensors, "key: batch is 1, must be 2 like y");
    call = tensors.call();
    call.key.strides = {m * P, P, 2};
    check_refused(core, call, tensors, "key: the stride of the channels is 2, must be 1");
    call = tensors.call();
    call.sight.position_bias = {};
    check_refused(core, call, tensors, "position_bias: data is null, must be [2, 5, 7] for layer given");
    call = tensors.call();
    call.value = {tensors.y.data(), {B, m, P}, {0, 2, 1}};
    check_refused(core, call, tensors, "value: the row stride is 2, must be at least 6");
    call.value = {tensors.y.data(), {B, m, P}, {0, P, 1}};
    check_refused(core, call, tensors, "y overlaps value in memory");
    call = tensors.call();
    call.sight.position_bias = {tensors.y.data(), {B, n, m}, {0, 0, 1}};
    check_refused(core, call, tensors, "y overlaps position_bias in memory");
}

TEST_CASE("a call of a mean with nothing in it writes nothing", "[core]") {
    const Core core(config_of(aft_given), {}, {"", "cpu"});
    CoreCall call;
    call.query = {nullptr, {B, 0, P}};
    call.key = call.value = {nullptr, {B, m, P}};
    float value = 0;
    call.key.data = call.value.data = &value;
    call.key.strides = call.value.strides = {0, P, 1};
    core.forward(call, {nullptr, {B, 0, P}});
    call.query = call.key = call.value = {nullptr, {0, n, P}};
    core.forward(call, {nullptr, {0, n, P}});
    CHECK(core.scratch_bytes() == 0);
}

TEST_CASE("a mean of a form has the parameters of its bias and no others", "[core]") {
    CHECK_THROWS_AS(Core(config_of(aft_full)), WeightsError);
    CHECK_THROWS_WITH(Core(config_of(aft_full)), ContainsSubstring("wbias"));
    CHECK_THROWS_AS(Core({aft_given, 0, 0, 1, 0}), ConfigError);
    CHECK_THROWS_AS(Core(config_of(aft_given), {}, {"nothing"}), ConfigError);
    CHECK_THROWS_WITH(Core(config_of(aft_given), {}, {"nothing"}),
                      ContainsSubstring("kernel 'nothing' doesn't exist; must be one of aft_core_given_"));
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.operation == "linear" || kernel.operation == "forward") {
            CHECK_THROWS_AS(Core(config_of(aft_given), {}, {kernel.id}), ConfigError);
        }
    }
}

TEST_CASE("the second call of a mean allocates nothing", "[core]") {
    const Core core(config_of(aft_given), {}, {"", "cpu"});
    Tensors tensors;
    const CoreCall call = tensors.call();
    core.forward(call, tensors.output());
    const std::int64_t before = allocations();
    for (int i = 0; i < 4; ++i) {
        core.forward(call, tensors.output());
    }
    CHECK(allocations() == before);
}
