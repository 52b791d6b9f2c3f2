#include "devices/cpu_features.h"
#include "kernels/selector.h"
#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <set>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

Problem small(LayerForm form) {
    return {{form, 12, 8, 20, form.has_window() ? 4 : 0}, {2, 17}};
}

Layer make_layer(const Problem &problem, const std::string &kernel = "", const std::string &device = "") {
    return Layer(problem.config, make_weights(problem), {kernel, device});
}

/// The table's order is the order of preference among the kernels of a device. A kernel with several ranges of lengths
/// is there once for each.
const KernelInfo *first_for(const Problem &problem, const Device &device) {
    for (const Kernel &kernel : kernels_of(device.api)) {
        if (judge(kernel.info, problem).fit == Fit::automatic) {
            return &kernel.info;
        }
    }
    return nullptr;
}

/// An AFTFull whose bias is beyond the range of the fast kernels has a certified `core` instead of the exact kernel.
bool has_core_for_any_bias(const std::string &api) {
    return std::any_of(kernels().begin(), kernels().end(), [&](const KernelInfo &kernel) {
        return kernel.api == api && kernel.usable && kernel.operation == "core" && kernel.algorithm == "certified";
    });
}

/// By the schedule, or `exact`.
const KernelInfo *find(LayerForm form, const std::string &wanted) {
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.api == "cpu" && kernel.usable && kernel.operation == "forward" && kernel.layer == form &&
            label(kernel) == wanted) {
            return &kernel;
        }
    }
    return nullptr;
}

/// The schedule of a kernel, or `exact`, behind its operation unless that is a whole layer.
std::string text_of(const KernelInfo &kernel) {
    return (kernel.operation == "forward" ? "" : kernel.operation + " ") + label(kernel);
}

/// The text of the kernel of a layer for any bias.
std::string text_for_any_bias(LayerForm form) {
    return form == aft_full && has_core_for_any_bias("cpu") ? "core packed" : "exact";
}

/// Which kernel serves a layer: the first by hand for any shape.
void check_label(const Problem &problem, const std::string &expected) {
    if (!find(problem.config.form, expected)) {
        return;  // left out by AFT_SCHEDULES
    }
    INFO(describe(problem));
    CHECK(label(make_layer(problem, "", "cpu").kernel_for(problem.shape)) == expected);
}

Problem with_bias(LayerForm form, float range, std::int64_t source, Weights &weights) {
    const Problem problem = small(form);
    weights = make_weights(problem);
    std::fill(weights.position_bias.begin(), weights.position_bias.end(), 0.0f);
    weights.position_bias[5 * problem.config.max_seq_len + source] = range;
    return problem;
}

std::string label_with_bias(LayerForm form, float range, std::int64_t source) {
    Weights weights;
    const Problem problem = with_bias(form, range, source, weights);
    return text_of(Layer(problem.config, weights, {"", "cpu"}).kernel_for(problem.shape));
}

}  // namespace

TEST_CASE("a layer runs the first kernel of the table that can serve it on its device", "[selector]") {
    for (const Device &device : devices()) {
        if (!device.usable) {
            continue;
        }
        for (const Problem &problem : test_problems()) {
            INFO(describe(problem) << " on " << device.id);
            const KernelInfo *expected = first_for(problem, device);
            if (expected) {
                const Layer layer = make_layer(problem, "", device.id);
                const KernelInfo &kernel = layer.kernel_for(problem.shape);
                const bool is_core = expected->algorithm == "exact" && problem.config.form == aft_full &&
                                     has_core_for_any_bias(device.api);
                CHECK((is_core ? kernel.operation == "core" && kernel.algorithm == "certified"
                               : kernel.id == expected->id));
            } else {
                CHECK_THROWS_AS(make_layer(problem, "", device.id), ConfigError);
            }
        }
    }
}

TEST_CASE("the packed kernel serves layers of any size", "[selector]") {
    for (const NamedForm &named : named_forms) {
        const LayerForm form = named.form;
        check_label(small(form), "packed");
        check_label({{form, 1, 1, 1, 0}, {1, 1}}, "packed");
        check_label({{form, 256, 256, 256, form.has_window() ? 32 : 0}, {4, 256}}, "packed");
    }
}

TEST_CASE("a row of position bias decides by its range between fast kernels and those for any bias", "[selector]") {
    const float above = std::nextafter(max_bias_range, 100.0f), masked = -std::numeric_limits<float>::infinity();
    for (const LayerForm form : {aft_full, aft_local}) {
        if (!find(form, "exact") || !find(form, "packed")) {
            continue;
        }
        CHECK(label_with_bias(form, max_bias_range, 5) == "packed");
        CHECK(label_with_bias(form, -max_bias_range, 5) == "packed");
        const std::string any = text_for_any_bias(form);
        CHECK(label_with_bias(form, above, 5) == any);
        CHECK(label_with_bias(form, -above, 5) == any);
        CHECK(label_with_bias(form, masked, 5) == any);
        // Source 9 is outside the window of target 5, so that AFTLocal doesn't see it.
        CHECK(label_with_bias(form, above, 9) == (form == aft_full ? any : "packed"));
        CHECK(label_with_bias(form, masked, 9) == (form == aft_full ? any : "packed"));
    }
}

TEST_CASE("a fast kernel that is forced on a bias beyond its range refuses it", "[selector]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!kernel.usable || kernel.operation != "forward" || kernel.any_bias_range || !kernel.layer->has_bias()) {
            continue;
        }
        INFO(kernel.id);
        Problem problem = problem_for(kernel);
        Weights weights = make_weights(problem);
        weights.position_bias[0] = 100;
        CHECK_THROWS_AS(Layer(problem.config, weights, {kernel.id}), ConfigError);
        CHECK_THROWS_WITH(Layer(problem.config, weights, {kernel.id}),
                          ContainsSubstring(kernel.id) && ContainsSubstring("41"));
    }
}

TEST_CASE("a kernel that is forced is the one that runs", "[selector]") {
    for (const NamedForm &named : named_forms) {
        const LayerForm form = named.form;
        // Kernels sum in different orders: on a problem with many terms some bits differ, unless it's always the same
        // kernel that runs.
        const Problem problem{{form, 301, 203, 211, form.has_window() ? 40 : 0}, {2, 211}};
        const std::vector<float> x = make_input(problem);
        std::set<std::vector<float>> results;
        std::size_t forced = 0;
        for (const KernelInfo &kernel : kernels()) {
            if (!can_run(kernel, problem)) {
                continue;
            }
            const Layer layer = make_layer(problem, kernel.id);
            CHECK(layer.kernel_for(problem.shape).id == kernel.id);
            results.insert(run(layer, x, problem.shape));
            ++forced;
        }
        CHECK(results.size() >= std::min<std::size_t>(forced, 2));
    }
}

TEST_CASE("of several targets the first that this CPU has serves a layer, whatever its bias", "[selector]") {
    for (const NamedForm &named : named_forms) {
        for (const Data data : {Data::normal, Data::unbounded_bias}) {
            const LayerForm form = named.form;
            const bool is_served = data == Data::normal || !form.has_bias() || find(form, "exact");
            const auto first = std::find_if(kernels().begin(), kernels().end(), [form](const KernelInfo &kernel) {
                return kernel.api == "cpu" && kernel.usable && kernel.operation == "forward" && kernel.layer == form;
            });
            if (first == kernels().end() || !is_served) {
                continue;
            }
            const Problem problem{{form, 15, 5, 20, form.has_window() ? 3 : 0}, {2, 20}, data};
            INFO(describe(problem));
            CHECK(make_layer(problem, "", "cpu").kernel_for(problem.shape).target == first->target);
        }
    }
}

TEST_CASE("a kernel for a CPU that isn't here is refused with what this one lacks", "[selector]") {
    for (const KernelInfo &kernel : kernels()) {
        const std::string missing = missing_cpu_features(kernel.target);
        if (kernel.operation != "forward" || kernel.api != "cpu" || missing.empty()) {
            continue;
        }
        INFO(kernel.id);
        CHECK_FALSE(kernel.usable);
        CHECK_THROWS_AS(make_layer(problem_for(kernel), kernel.id), ConfigError);
        CHECK_THROWS_WITH(make_layer(problem_for(kernel), kernel.id),
                          "kernel " + kernel.id + " can't run here: this CPU lacks " + missing);
    }
}

TEST_CASE("AFT_KERNEL forces a kernel, and LayerOptions go before it", "[selector]") {
    for (const NamedForm &named : named_forms) {
        const LayerForm form = named.form;
        const Problem problem = small(form);
        std::vector<std::string> ids;
        for (const KernelInfo &kernel : kernels()) {
            if (can_run(kernel, problem)) {
                ids.push_back(kernel.id);
            }
        }
        for (const std::string &id : ids) {
            const Environment forced("AFT_KERNEL", id);
            CHECK(make_layer(problem).kernel_for(problem.shape).id == id);
            CHECK(make_layer(problem, ids.front()).kernel_for(problem.shape).id == ids.front());
        }
    }
}

TEST_CASE("a kernel that is unknown or another layer's is refused by name", "[selector]") {
    const Problem problem = small(aft_full);
    CHECK_THROWS_AS(make_layer(problem, "aft_full_cpu_nothing"), ConfigError);
    CHECK_THROWS_WITH(make_layer(problem, "aft_full_cpu_nothing"), ContainsSubstring("aft_full_cpu_nothing"));
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.operation == "forward" && !kernel.layer->has_bias()) {
            CHECK_THROWS_AS(make_layer(problem, kernel.id), ConfigError);
            CHECK_THROWS_WITH(make_layer(problem, kernel.id), ContainsSubstring(kernel.id));
        }
    }
    const Environment forced("AFT_KERNEL", "aft_full_cpu_nothing");
    CHECK_THROWS_AS(make_layer(problem), ConfigError);
}

TEST_CASE("what can't be and comes from the environment is refused with the variable's name", "[selector]") {
    const Problem problem = small(aft_full);
    {
        const Environment forced("AFT_KERNEL", "nonsense");
        CHECK_THROWS_WITH(make_layer(problem),
                          ContainsSubstring("kernel 'nonsense' (from AFT_KERNEL) doesn't exist; "));
        CHECK_THROWS_WITH(make_layer(problem, "other"), ContainsSubstring("kernel 'other' doesn't exist; "));
    }
    for (const KernelInfo &kernel : kernels()) {
        const Environment forced("AFT_KERNEL", kernel.id);
        if (kernel.operation == "forward" && (!kernel.layer->has_bias() || !kernel.usable)) {
            CHECK_THROWS_WITH(make_layer(problem), ContainsSubstring("kernel " + kernel.id + " (from AFT_KERNEL) "));
        }
        if (kernel.usable && kernel.api != "cpu" && can_run(kernel, problem)) {
            CHECK_THROWS_WITH(make_layer(problem, "", "cpu"),
                              ContainsSubstring("kernel " + kernel.id + " (from AFT_KERNEL) is for "));
        }
    }
    const Environment forced("AFT_DEVICE", "nonsense");
    CHECK_THROWS_WITH(make_layer(problem), ContainsSubstring("device 'nonsense' (from AFT_DEVICE) doesn't exist: "));
    CHECK_THROWS_WITH(make_layer(problem, "", "other"), ContainsSubstring("device 'other' doesn't exist: "));
    for (const Device &device : devices()) {
        if (!device.usable) {
            const Environment unusable("AFT_DEVICE", device.id);
            CHECK_THROWS_WITH(make_layer(problem),
                              ContainsSubstring("device " + device.id + " (from AFT_DEVICE) can't be used: "));
        }
    }
}

TEST_CASE("a variable that is empty asks for nothing", "[selector]") {
    const Environment kernel("AFT_KERNEL", ""), device("AFT_DEVICE", "");
    CHECK_NOTHROW(make_layer(small(aft_full)));
}

TEST_CASE("a forced kernel refuses a shape below its minimum before it writes", "[selector]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!kernel.usable || kernel.operation != "forward" || kernel.minimum.seq == 1) {
            continue;
        }
        INFO(kernel.id);
        const Problem problem = problem_for(kernel);
        const Layer layer = make_layer(problem, kernel.id);
        const Shape below{problem.shape.batch, kernel.minimum.seq - 1};
        CHECK_THROWS_AS(layer.kernel_for(below), ShapeError);
        const std::vector<float> x = make_input(problem);
        std::vector<float> y(x.size(), -1);
        const TensorView<float, 3>::Extents extents{below.batch, below.seq, problem.config.hidden};
        CHECK_THROWS_WITH(layer.forward(TensorView<const float, 3>(x.data(), extents), {y.data(), extents}),
                          ContainsSubstring(kernel.id) && ContainsSubstring(std::to_string(kernel.minimum.seq)));
        CHECK(std::count(y.begin(), y.end(), -1) == static_cast<std::ptrdiff_t>(y.size()));
        // Without force there is always another one.
        CHECK(make_layer(problem).kernel_for(below).minimum.seq < kernel.minimum.seq);
    }
}
