#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

/// The lowest limit at which a call succeeds, with the same bits as without a limit.
template<typename Call>
std::int64_t lowest_limit_of(const Call &call) {
    const std::vector<float> expected = call();
    const std::int64_t lowest = lowest_limit(call, [&](const std::vector<float> &y) { CHECK(same_bits(y, expected)); });
    const std::int64_t too_low = lowest * 2 / 3;
    const ElementLimit limit(too_low);
    CHECK_THROWS_WITH(call(), ContainsSubstring("more than " + std::to_string(too_low) + " elements") &&
                                  EndsWith(", use a shorter sequence"));
    return lowest;
}

/// How many calls of each form were possible only in parts: a tensor of theirs has more elements than kernels could
/// count to.
class Splits {
public:
    void add(const LayerForm &form, std::int64_t elements, std::int64_t limit) {
        splits_[std::string(name(form))] += elements > limit ? 1 : 0;
    }
    void check() const {
        CHECK(!splits_.empty());
        for (const auto &[form, count] : splits_) {
            INFO(form);
            CHECK(count > 0);
        }
    }

private:
    std::map<std::string, int> splits_;
};

}  // namespace

TEST_CASE("a layer's call in parts has the bits of one call, in every form", "[parts]") {
    Splits splits;
    for (const Problem &problem : quick_problems(layer_problems())) {
        INFO(describe(problem));
        const Layer layer(problem.config, make_weights(problem), {"", "cpu"});
        const CallTensors call = make_call(problem);
        const std::int64_t limit = lowest_limit_of([&] {
            return problem.piece == 0 ? run(layer, call.layer) : run_in_pieces(layer, call.layer, problem.piece);
        });
        const std::int64_t rows = problem.piece == 0 ? problem.shape.seq : problem.piece;
        splits.add(problem.config.form, problem.shape.batch * rows * problem.config.hidden, limit);
    }
    splits.check();
}

TEST_CASE("a layer of one kernel in parts has the bits of one call", "[parts]") {
    for (const KernelInfo &kernel : kernels()) {
        if (runs_by_default(kernel) && kernel.api == "cpu") {
            INFO(kernel.id);
            Problem problem = problem_for(kernel);
            problem.shape.batch = 5 * kernel.minimum.batch;
            const Layer layer(problem.config, make_weights(problem), {kernel.id});
            const std::vector<float> x = make_input(problem);
            const std::vector<float> expected = run(layer, x, problem.shape);
            const std::int64_t of_sample = problem.shape.seq * problem.config.hidden;
            const ElementLimit limit(2 * kernel.minimum.batch * of_sample);
            CHECK(same_bits(run(layer, x, problem.shape), expected));
        }
    }
}

TEST_CASE("a mean's call in parts has the bits of one call, in every form", "[parts]") {
    Splits splits;
    for (const std::vector<Problem> &some : {core_problems(), scan_problems()}) {
        for (const Problem &problem : quick_problems(some)) {
            INFO(describe(problem));
            const Core core(problem.config, make_weights(problem), {"", "cpu"});
            const CallTensors call = make_call(problem);
            const std::int64_t limit = lowest_limit_of([&] {
                return problem.piece == 0 ? run(core, call.core) : run_in_pieces(core, call.core, problem.piece);
            });
            const std::int64_t rows = problem.piece == 0 ? problem.shape.seq : problem.piece;
            splits.add(problem.config.form, problem.shape.batch * rows * problem.config.projected, limit);
        }
    }
    splits.check();
}

TEST_CASE("sources that are kept and used in parts give the bits of one call", "[parts]") {
    for (const LayerForm form : {aft_full, aft_local, aft_simple}) {
        constexpr std::int64_t B = 12, m = 40, H = 8;
        const Problem problem{{form, H, 6, m, form.has_window() ? 4 : 0}, {B, m}};
        const Layer layer(problem.config, make_weights(problem), {"", "cpu"});
        const std::vector<float> x = make_input(problem);
        for (const std::int64_t n : {std::int64_t{3}, m}) {  // a few targets read exponentials
            INFO(name(form) << ", " << n << " targets");
            const auto all = [&] {
                const Sources sources = layer.sources({x.data(), {B, m, H}});
                LayerCall call;
                call.query = {x.data(), {B, n, H}, {m * H, H, 1}};
                call.sources = &sources;
                std::vector<float> y(B * n * H);
                layer.forward(call, {y.data(), {B, n, H}});
                return y;
            };
            CHECK(lowest_limit_of(all) < B * m * H);
        }
    }
}

TEST_CASE("a step that fails in its last part leaves the state as it was", "[parts][state]") {
    constexpr std::int64_t H = 8, S = 40, n = 17;
    const Problem problem{{aft_causal_full, H, 6, S, 0}, {2, S}};
    const Layer layer(problem.config, make_weights(problem), {"", "cpu"});
    const std::vector<float> x = make_input(problem);
    const auto step = [&](State &state, std::int64_t rows, const std::vector<std::int64_t> &lengths) {
        std::vector<float> y(2 * rows * H);
        layer.step(state, {x.data(), {2, rows, H}}, {y.data(), {2, rows, H}}, {lengths.data(), {2}});
        return y;
    };
    State state(problem.config, 2);
    step(state, 20, {0, 20});
    State other = state;
    {
        const ElementLimit limit(n * n + n);  // the second sample has a bias of [n, 20 + n]
        CHECK_THROWS_AS(step(state, n, {n, n}), KernelError);
    }
    CHECK(state.position(0) == 0);
    CHECK(state.position(1) == 20);
    CHECK(same_bits(step(state, n, {n, n}), step(other, n, {n, n})));
}
