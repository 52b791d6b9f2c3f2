#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

using namespace aft;

namespace {

/// How often a race gets a chance to show.
int repeats() {
    return std::getenv("AFT_LONG_TESTS") ? 10'000 : 100;
}

/// A layer, and what it gives when it runs alone.
class Case {
public:
    Case(const KernelInfo &kernel, const Problem &problem)
        : layer_(problem.config, make_weights(problem), {kernel.id}), x_(make_input(problem)),
          y_(run(layer_, x_, problem.shape)), extents_{problem.shape.batch, problem.shape.seq, problem.config.hidden} {}

    /// How many of `count` calls give other bits.
    int count_different(int count) const {
        std::vector<float> y(y_.size());
        int different = 0;
        for (int i = 0; i < count; ++i) {
            std::fill(y.begin(), y.end(), std::numeric_limits<float>::quiet_NaN());
            layer_.forward({x_.data(), extents_}, {y.data(), extents_});
            different += std::memcmp(y.data(), y_.data(), y.size() * sizeof(float)) != 0;
        }
        return different;
    }

private:
    Layer layer_;
    std::vector<float> x_, y_;
    TensorView<float, 3>::Extents extents_;
};

std::vector<KernelInfo> tested_kernels() {
    std::vector<KernelInfo> result;
    for (const KernelInfo &kernel : kernels()) {
        if (runs_by_default(kernel) && kernel.api == "cpu") {
            result.push_back(kernel);
        }
    }
    return result;
}

/// The sum of what f returns in `count` threads at a time.
int sum_over_threads(int count, const std::function<int(int thread)> &f) {
    std::atomic<int> sum = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
        threads.emplace_back([&, i] { sum += f(i); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    return sum;
}

}  // namespace

TEST_CASE("a kernel gives the same bits however often it runs, on 1 to 4 threads", "[repeats]") {
    for (const KernelInfo &kernel : tested_kernels()) {
        INFO(kernel.id);
        const Case alone(kernel, problem_for(kernel));
        for (const int threads : {1, 2, 3, 4}) {
            const ThreadCount during(threads);
            CHECK(alone.count_different(repeats()) == 0);
        }
    }
}

TEST_CASE("a kernel gives the same bits to eight callers at a time", "[repeats]") {
    const ThreadCount during(3);
    for (const KernelInfo &kernel : tested_kernels()) {
        INFO(kernel.id);
        const Case shared(kernel, problem_for(kernel));
        CHECK(sum_over_threads(8, [&](int) { return shared.count_different(repeats() / 8); }) == 0);
    }
}

TEST_CASE("layers of different shapes give the same bits side by side", "[repeats]") {
    const ThreadCount during(3);
    std::vector<std::unique_ptr<Case>> cases;
    for (const KernelInfo &kernel : tested_kernels()) {
        const auto more = static_cast<std::int64_t>(cases.size()) % 16;
        Problem problem = problem_for(kernel);
        problem.config.hidden += 5 * more;
        problem.config.projected += 3 * more;
        problem.config.max_seq_len += 7 * more;
        problem.shape.seq += 7 * more;
        cases.push_back(std::make_unique<Case>(kernel, problem));
    }
    CHECK(sum_over_threads(static_cast<int>(cases.size()),
                           [&](int i) { return cases[i]->count_different(repeats() / 10); }) == 0);
}
