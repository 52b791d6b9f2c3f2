#include "faults.h"
#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

using namespace aft;

namespace {

constexpr std::int64_t mebibyte = 1 << 20;

/// The bytes that a layer on the CPU keeps, before its first call or after one with a mask.
std::int64_t kept_bytes(const Problem &problem, const Weights &weights, bool composed,
                        const std::string &storage = "float32") {
    const std::int64_t T = problem.shape.seq, H = problem.config.hidden;
    const std::vector<float> x(T * H, 0.5f);
    std::vector<float> y(x.size());
    const std::unique_ptr<bool[]> mask(new bool[T * T]);
    std::fill_n(mask.get(), T * T, true);
    const std::int64_t before = live_bytes();
    const Layer layer(problem.config, weights, {"", "cpu", storage});
    if (composed) {
        LayerCall call;
        call.query = {x.data(), {1, T, H}};
        call.sight.mask = {mask.get(), {1, T, T}};
        layer.forward(call, {y.data(), {1, T, H}});
    }
    return live_bytes() - before - static_cast<std::int64_t>(layer.scratch_bytes());
}

}  // namespace

TEST_CASE("a layer keeps each weight once for all of its kernels", "[memory][weights]") {
    // A weight takes 1 MiB, and so does a position bias.
    for (const LayerForm &form : {aft_full, aft_local, aft_simple}) {
        const Problem problem{{form, 512, 512, 512, form.has_window() ? 8 : 0}, {1, 512}};
        const Weights weights = make_weights(problem);
        const std::int64_t of_bias = form.has_bias() ? 1 : 0;
        INFO(std::string(name(form)));
        // The weights as they came, for calls with a mask, and the prepared ones.
        CHECK(kept_bytes(problem, weights, false) < (4 + of_bias + 4 + of_bias) * mebibyte + mebibyte / 2);
        // Those of the projections instead. A mean keeps its bias, and the mask has taken one by one.
        CHECK(kept_bytes(problem, weights, true) < (4 + of_bias + 4 + of_bias) * mebibyte + mebibyte / 2);
    }
    const Problem causal{{aft_causal_simple, 512, 512, 512, 0}, {1, 512}};
    CHECK(kept_bytes(causal, make_weights(causal), false) < 4 * mebibyte + mebibyte / 2);
    CHECK(kept_bytes(causal, make_weights(causal), false, "int8") < mebibyte + mebibyte / 2);
}

TEST_CASE("kernels that share weights have the bits that they have alone", "[memory][weights]") {
    for (const LayerForm &form : {aft_full, aft_local, aft_simple}) {
        const Problem problem{{form, 70, 50, 40, form.has_window() ? 6 : 0}, {2, 40}};
        const Weights weights = make_weights(problem);
        const Layer all(problem.config, weights, {"", "cpu"});
        for (const std::int64_t T : {1, 2, 3, 16, 17, 40}) {
            const Problem shorter{problem.config, {2, T}};
            const std::vector<float> x = make_input(shorter);
            const std::string kernel = all.kernel_for(shorter.shape).id;
            INFO(kernel << ", T " << T);
            const Layer alone(problem.config, weights, {kernel});
            CHECK(same_bits(run(all, x, shorter.shape), run(alone, x, shorter.shape)));
        }
    }
}
