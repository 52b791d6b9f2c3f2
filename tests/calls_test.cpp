#include "faults.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::int64_t B = 2, T = 17, H = 12;
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

Problem small(LayerForm form) {
    return {{form, H, 8, 20, form.has_window() ? 4 : 0}, {B, T}};
}

/// The forms that kernels of a whole layer compute.
std::vector<LayerForm> whole_forms() {
    std::vector<LayerForm> forms;
    for (const NamedForm &named : named_forms) {
        if (std::any_of(kernels().begin(), kernels().end(), [&](const KernelInfo &kernel) {
                return kernel.operation == "forward" && kernel.layer == named.form;
            })) {
            forms.push_back(named.form);
        }
    }
    return forms;
}

Layer layer_of(const Problem &problem) {
    return Layer(problem.config, make_weights(problem), {"", "cpu"});
}

TensorView<const float, 3> view(const std::vector<float> &values, std::int64_t rows = T) {
    return {values.data(), {B, rows, H}};
}

/// A call that is refused, with its message; y stays.
void check_refused(const Layer &layer, const LayerCall &call, const std::string &message,
                   std::array<std::int64_t, 3> extents = {B, T, H}) {
    std::vector<float> y(std::max<std::int64_t>(extents[0] * extents[1] * extents[2], 1), -1);
    CHECK_THROWS_AS(layer.forward(call, {y.data(), extents}), ShapeError);
    CHECK_THROWS_WITH(layer.forward(call, {y.data(), extents}), message);
    CHECK(std::count(y.begin(), y.end(), -1) == static_cast<std::ptrdiff_t>(y.size()));
}

}  // namespace

TEST_CASE("a layer of one kernel and the same layer of several kernels agree", "[calls]") {
    for (const LayerForm form : whole_forms()) {
        const Problem problem = small(form);
        const Weights weights = make_weights(problem);
        const std::vector<float> x = make_input(problem);
        for (const KernelInfo &kernel : kernels()) {
            if (!kernel.usable || kernel.api != "cpu" || kernel.minimum.seq > T ||
                (kernel.operation != "linear" && kernel.operation != "core")) {
                continue;
            }
            INFO(kernel.id << " in " << name(form));
            const bool is_for_it = kernel.operation == "linear" || kernel.layer == aft_given || kernel.layer == form;
            if (!is_for_it) {
                CHECK_THROWS_AS(Layer(problem.config, weights, {kernel.id}), ConfigError);
                continue;
            }
            const Layer composed(problem.config, weights, {kernel.id});
            const auto [reference, allowed] =
                expected_layer(kernel, problem.config, weights, call_with(problem.config, x, problem.shape));
            CHECK(error_in_tolerances(reference, run(composed, x, problem.shape)) <= allowed);
            CHECK(composed.kernel_for(problem.shape).operation == "core");
            if (kernel.operation == "core") {
                CHECK(composed.kernel_for(problem.shape).id == kernel.id);
            }
        }
    }
}

TEST_CASE("without an output projection a layer gives the gated mean", "[calls]") {
    for (const LayerForm form : whole_forms()) {
        INFO(name(form));
        Problem problem = small(form);
        problem.config.projected = H;
        Weights without = make_weights(problem), identity = without;
        without.project_weight.clear();
        without.project_bias.clear();
        identity.project_bias.clear();
        identity.project_weight.assign(H * H, 0.0f);
        for (std::int64_t i = 0; i < H; ++i) {
            identity.project_weight[i * H + i] = 1;
        }
        const std::vector<float> x = make_input(problem);
        const Layer layer(problem.config, without, {"", "cpu"}), expected(problem.config, identity, {"", "cpu"});
        CHECK(run(layer, x, problem.shape) == run(expected, x, problem.shape));
        // Cross inputs go through several kernels, the last of which writes y.
        LayerCall call;
        call.query = call.key = view(x);
        CHECK(error_in_tolerances(reference_layer(problem.config, without, call), run(layer, call)) <= 1);
    }
}

TEST_CASE("a sample of a batch with lengths has the bits of the sample alone, and zeros beyond", "[calls]") {
    for (const LayerForm form : whole_forms()) {
        INFO(name(form));
        Problem problem = small(form);
        problem.shape.batch = 4;
        const Layer layer = layer_of(problem);
        std::vector<float> x = make_input(problem);
        const std::vector<std::int64_t> lengths = {5, 5, 0, T};
        std::vector<float> expected(x.size(), 0.0f);
        for (std::int64_t b = 0; b < 4; ++b) {
            if (lengths[b] > 0) {
                std::vector<float> sample(x.begin() + b * T * H, x.begin() + (b * T + lengths[b]) * H);
                const std::vector<float> y = run(layer, sample, {1, lengths[b]});
                std::copy(y.begin(), y.end(), expected.begin() + b * T * H);
            }
            std::fill(x.begin() + (b * T + lengths[b]) * H, x.begin() + (b + 1) * T * H, not_a_number);
        }
        LayerCall call;
        call.query = {x.data(), {4, T, H}};
        call.sight.lengths = {lengths.data(), {4}};
        CHECK(run(layer, call) == expected);
    }
}

TEST_CASE("sources that are kept give the bits of sources that come with each call", "[calls]") {
    for (const LayerForm form : whole_forms()) {
        INFO(name(form));
        const Problem problem = small(form);
        const Layer layer = layer_of(problem);
        const std::vector<float> x = make_input(problem);
        LayerCall call;
        call.query = view(x, 9);
        call.key = view(x, T);
        const std::vector<float> expected = run(layer, call);
        const Sources sources = layer.sources(call.key);
        CHECK(sources.batch() == B);
        CHECK(sources.count() == T);
        std::vector<float> y(B * 9 * H, not_a_number);
        LayerCall kept;
        kept.query = call.query;
        kept.sources = &sources;
        layer.forward(kept, {y.data(), {B, 9, H}});
        CHECK(y == expected);
        check_refused(layer_of(problem), kept, "sources are of another layer", {B, 9, H});
        kept.key = call.key;
        check_refused(layer, kept, "key or value is given, and sources are too", {B, 9, H});
        kept.key = {};
        kept.query.extents[0] = 1;
        check_refused(layer, kept, "sources: batch is 2, must be 1 like query", {1, 9, H});
    }
}

TEST_CASE("without sources the mean is 0", "[calls]") {
    for (const LayerForm form : whole_forms()) {
        INFO(name(form));
        const Problem problem = small(form);
        Weights weights = make_weights(problem);
        weights.project_bias.assign(H, 0.5f);
        const Layer layer(problem.config, weights, {"", "cpu"});
        const std::vector<float> x = make_input(problem);
        LayerCall call;
        call.query = view(x);
        call.key = {nullptr, {B, 0, H}};
        CHECK(run(layer, call) == std::vector<float>(x.size(), 0.5f));
        const std::vector<std::int64_t> none(B, 0);
        call.key = view(x);
        call.sight.lengths = {none.data(), {B}};
        CHECK(run(layer, call) == std::vector<float>(x.size(), 0.5f));
    }
}

TEST_CASE("the second call of a shape allocates nothing, whatever it sees", "[calls]") {
    for (const LayerForm form : whole_forms()) {
        INFO(name(form));
        const Problem problem = small(form);
        const Layer layer = layer_of(problem);
        const std::vector<float> x = make_input(problem);
        const std::vector<std::int64_t> lengths = {9, T};
        bool mask[T * T] = {};
        for (std::int64_t i = 0; i < T * T; ++i) {
            mask[i] = i % 3 != 0;
        }
        std::vector<float> y(x.size());
        LayerCall of_lengths, of_pairs;
        of_lengths.query = of_pairs.query = of_pairs.key = view(x);
        of_lengths.sight.lengths = of_pairs.sight.lengths = {lengths.data(), {B}};
        of_pairs.sight.mask = {mask, {B, T, T}, {0, T, 1}};
        const auto both = [&] {
            layer.forward(of_lengths, {y.data(), {B, T, H}});
            layer.forward(of_pairs, {y.data(), {B, T, H}});
        };
        both();
        const std::int64_t before = allocations();
        const std::size_t bytes = layer.scratch_bytes();
        for (int i = 0; i < 4; ++i) {
            both();
        }
        CHECK(allocations() == before);
        CHECK(layer.scratch_bytes() == bytes);
    }
}

TEST_CASE("inputs that don't fit each other are refused before y is written", "[calls]") {
    const Problem problem = small(aft_full);
    const Layer layer = layer_of(problem);
    const std::vector<float> x = make_input(problem);
    const auto with_key = [&](const TensorView<const float, 3> &key, const TensorView<const float, 3> &value = {}) {
        LayerCall call;
        call.query = view(x);
        call.key = key;
        call.value = value;
        return call;
    };
    check_refused(layer, with_key({x.data(), {B, T, H + 1}}), "key: key_hidden is 13, must be 12");
    check_refused(layer, with_key({nullptr, {B, T, H}}), "key: data is null");
    check_refused(layer, with_key({x.data(), {1, T, H}}), "key: batch is 1, must be 2 like query");
    check_refused(layer, with_key({x.data(), {B, 21, H}}), "key: seq is 21, must be 0 to max_seq_len 20");
    check_refused(layer, with_key({x.data(), {B, T, H}, {0, 5, 1}}), "key: the row stride is 5, must be at least 12");
    check_refused(layer, with_key(view(x), {x.data(), {B, T - 1, H}}),
                  "value has batch 2 and seq 16, must be 2 and 17 like key");
    LayerCall call;
    call.query = view(x, 16);
    check_refused(layer, call, "y is [2, 17, 12], must be [2, 16, 12] like query");
    std::vector<float> y(x);
    call.query = view(x);
    call.key = {y.data() + 3, {B, 5, H}, {0, H, 1}};
    CHECK_THROWS_WITH(layer.forward(call, {y.data(), {B, T, H}}), "y overlaps key in memory");
    CHECK(y == x);

    Problem wide = problem;
    wide.config.key_hidden = 5;
    call = {};
    call.query = view(x);
    check_refused(layer_of(wide), call, "key: key_hidden is 12, must be 5");
}

TEST_CASE("a sight that doesn't fit its call is refused before y is written", "[calls]") {
    const Problem problem = small(aft_full);
    const Layer layer = layer_of(problem);
    const std::vector<float> x = make_input(problem), bias(B * T * T);
    const bool mask[B * T * T] = {};
    const std::vector<std::int64_t> lengths = {3, T + 1};
    const auto refused = [&](const Sight &sight, const std::string &message, const Layer &of) {
        LayerCall call;
        call.query = view(x);
        call.sight = sight;
        check_refused(of, call, message);
    };
    Sight sight;
    sight.lengths = {lengths.data(), {B}};
    refused(sight, "lengths: sample 1 is 18, must be 0 to 17", layer);
    sight.lengths = {lengths.data(), {1}};
    refused(sight, "lengths is [1], must be [2]", layer);
    sight = {};
    sight.mask = {mask, {B, T, T - 1}};
    refused(sight, "mask is [2, 17, 16], must be [2, 17, 17]", layer);
    sight.mask = {mask, {B, T, T}, {-1, 0, 1}};
    refused(sight, "mask: a stride is -1, must be at least 0", layer);
    sight.mask = {mask, {B, T, T}, {0, 0, 2}};
    refused(sight, "mask: the stride of the sources is 2, must be 1", layer);
    sight = {};
    sight.position_bias = {bias.data(), {B, T, T}};
    refused(sight, "position_bias is given, but layer full takes none", layer);
    sight = {};
    sight.bias_scale = 2;
    refused(sight, "bias_scale is given, but layer full takes none", layer);

    const Layer given = layer_of(small(aft_given));
    refused({}, "position_bias: data is null, must be [2, 17, 17] for layer given", given);
    sight = {};
    sight.position_bias = {bias.data(), {B, T, T}};
    sight.bias_scale = not_a_number;
    refused(sight, "position_bias: bias_scale is nan, must be finite", given);
    sight.bias_scale = 1;
    sight.position_bias = {bias.data(), {1, T, T}};
    refused(sight, "position_bias is [1, 17, 17], must be [2, 17, 17]", given);
}
