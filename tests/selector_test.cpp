#include "kernels/selector.h"
#include "reference/problem.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <optional>
#include <set>
#include <string>

using namespace aft;

TEST_CASE("kernel ids are unique and made of layer, API and schedule or exact", "[selector]") {
    std::set<std::string> ids;
    for (const KernelInfo &kernel : kernels()) {
        INFO(kernel.id);
        CHECK(ids.insert(kernel.id).second);
        const std::string operation = kernel.operation == "forward" ? "" : kernel.operation + "_",
                          layer = kernel.layer ? std::string(name(*kernel.layer)) + "_" : "";
        const std::string prefix = "aft_" + operation + layer + kernel.api + "_";
        CHECK(kernel.id.rfind(prefix + label(kernel), 0) == 0);
        CHECK(kernel.usable == kernel.reason.empty());
        CHECK(!kernel.target.empty());
    }
    CHECK(!ids.empty());
}

TEST_CASE("the exact algorithm is scheduled like the others of its API, and takes any bias", "[selector]") {
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.operation != "forward") {
            continue;
        }
        INFO(kernel.id);
        if (kernel.algorithm == "exact") {
            CHECK(kernel.schedule == (kernel.api == "cpu" ? "packed" : "tiled"));
            CHECK(kernel.layer->has_bias());
        } else {
            CHECK(kernel.algorithm == (kernel.layer == aft_full     ? "dense"
                                       : kernel.layer == aft_simple ? "softmax"
                                                                    : "banded"));
        }
        CHECK(kernel.any_bias_range == (kernel.algorithm == "exact" || kernel.algorithm == "softmax"));
        const auto is_named = [&](const char *word) { return kernel.id.find(word) != std::string::npos; };
        CHECK(kernel.storage == (is_named("bf16") ? "bfloat16" : is_named("int8") ? "int8" : "float32"));
    }
}

TEST_CASE("a kernel that doesn't fit a demand has the reason", "[selector]") {
    KernelInfo kernel;
    kernel.operation = "forward";
    kernel.algorithm = "banded";
    kernel.layer = aft_local;
    kernel.storage = "float32";
    kernel.minimum = {2, 16, 8, 8, 4};
    kernel.preferred.seq = {16, 64};
    kernel.preferred.hidden = {24, 24};
    kernel.usable = true;
    const Demand demand{"forward", {aft_local, 24, 8, 32, 4}, {41, 0}};
    const auto check = [&](const Demand &changed, const std::optional<Shape> &shape, Fit fit, const char *reason) {
        const Judgement judgement = judge(kernel, changed, shape);
        INFO(reason);
        CHECK(judgement.fit == fit);
        CHECK(judgement.reason == reason);
    };
    const auto with = [&](LayerConfig config) { return Demand{"forward", config, {41, 0}}; };
    check(demand, {}, Fit::automatic, "");
    check(demand, Shape{2, 16}, Fit::automatic, "");
    check(demand, Shape{1, 16}, Fit::none, "takes batch >= 2, not 1");
    check(demand, Shape{2, 15}, Fit::none, "takes seq >= 16, not 15");
    check(with({aft_full, 24, 8, 32, 4}), {}, Fit::none, "is a kernel of layer local, not full");
    check(with({aft_local, 7, 8, 32, 4}), {}, Fit::none, "takes hidden >= 8, not 7");
    check(with({aft_local, 24, 7, 32, 4}), {}, Fit::none, "takes projected >= 8, not 7");
    check(with({aft_local, 24, 8, 15, 4}), {}, Fit::none, "takes max_seq_len >= 16, not 15");
    check(with({aft_local, 24, 8, 32, 3}), {}, Fit::none, "takes window >= 4, not 3");
    check(with({aft_local, 25, 8, 32, 4}), {}, Fit::by_id, "is for hidden 24, not 25");
    check(with({aft_local, 24, 8, 99, 4}), {}, Fit::automatic, "");
    check(with({aft_local, 24, 8, 99, 4}), Shape{2, 65}, Fit::by_id, "is for seq 16 to 64, not 65");
    check({"forward", demand.config, {42.5f, 3}}, {}, Fit::none,
          "takes a position bias whose rows have a range of at most 41, row 3 has 42.5");
    kernel.operation = "made_up";
    CHECK(judge(kernel, demand).fit == Fit::none);
    kernel.operation = "forward";
    kernel.storage = "bfloat16";
    check(demand, {}, Fit::by_id, "stores bfloat16");
    check(demand, Shape{2, 15}, Fit::none, "takes seq >= 16, not 15");
    CHECK(judge(kernel).reason == "stores bfloat16");
    kernel.usable = false;
    kernel.reason = "this CPU lacks avx2";
    check(demand, {}, Fit::none, "can't run here: this CPU lacks avx2");
    CHECK(judge(kernel).fit == Fit::none);
    CHECK(judge(kernel).reason == "this CPU lacks avx2");
}

TEST_CASE("a selection has every kernel of the layer and device, in the order of the table", "[selector]") {
    for (const Device &device : devices()) {
        if (!device.usable) {
            continue;
        }
        for (const Problem &problem : test_problems()) {
            INFO(describe(problem) << " on " << device.id);
            const Demand demand{"forward", problem.config, widest_bias_range(make_weights(problem), problem.config)};
            const Layer layer(problem.config, make_weights(problem), {"", device.id});
            const Selection selection = select({demand}, {"", device.id}).front().front();
            CHECK(selection.device->info.id == device.id);
            std::set<std::string> selected, passed_over;
            for (const Candidate &candidate : selection.candidates) {
                selected.insert(candidate.kernel->info.id);
            }
            for (const PassedOver &each : selection.passed_over) {
                CHECK(!each.reason.empty());
                passed_over.insert(each.kernel->info.id);
            }
            std::size_t of_layer = 0;
            for (const KernelInfo &kernel : kernels()) {
                if (kernel.api == device.api && kernel.operation == "forward" && kernel.layer == problem.config.form) {
                    ++of_layer;
                    CHECK(selected.count(kernel.id) + passed_over.count(kernel.id) == 1);
                }
            }
            CHECK(selected.size() + passed_over.size() == of_layer);
            const std::size_t chosen = selection.candidate_for(problem.shape);
            const KernelInfo &kernel = selection.candidates[chosen].kernel->info;
            // A certified core takes the place of an exact kernel.
            CHECK((kernel.id == layer.kernel_for(problem.shape).id ||
                   (kernel.algorithm == "exact" && layer.kernel_for(problem.shape).algorithm == "certified")));
        }
    }
}

TEST_CASE("a problem's bias is wide where its weights say so", "[selector]") {
    for (const Problem &problem : test_problems()) {
        INFO(describe(problem));
        const BiasRange bias = widest_bias_range(make_weights(problem), problem.config);
        for (const KernelInfo &kernel : kernels()) {
            if (kernel.operation == "forward" && kernel.layer == problem.config.form) {
                CHECK(judge(kernel, problem).fit ==
                      judge(kernel, {"forward", problem.config, bias}, problem.shape).fit);
            }
        }
    }
}
