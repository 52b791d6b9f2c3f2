#include "child.h"
#include "reference/problem.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <thread>
#include <vector>

using namespace aft;

namespace {

// Rows enough for parallel loops.
const Problem problem{{aft_full, /*hidden=*/48, /*projected=*/40, /*max_seq_len=*/70, /*window=*/0}, {4, 70}};

}  // namespace

TEST_CASE("the child of a fork calls the layers of its parent, and new ones", "[fork]") {
    const ThreadCount four(4);
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Layer layer(problem.config, weights);
    const std::vector<float> y = run(layer, x, problem.shape);
    const auto all_is_right = [&] {
        bool right = thread_count() == 4;
        for (int repeat = 0; repeat < 20; ++repeat) {
            right = right && run(layer, x, problem.shape) == y;
            right = right && run(Layer(problem.config, weights), x, problem.shape) == y;
        }
        return right;
    };
    CHECK(exit_code_in_child(all_is_right) == 0);
    CHECK(all_is_right());
    CHECK(exit_code_in_child([&] { return all_is_right() && exit_code_in_child(all_is_right) == 0; }) == 0);
    CHECK(exit_code_in_child([] { return true; }) == 0);
}

TEST_CASE("a fork may come while other threads are in calls", "[fork]") {
    const ThreadCount four(4);
    const std::vector<float> x = make_input(problem);
    const Layer layer(problem.config, make_weights(problem));
    const std::vector<float> y = run(layer, x, problem.shape);
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&] {
            while (!done) {
                wrong += run(layer, x, problem.shape) != y;
            }
        });
    }
    for (int i = 0; i < 100; ++i) {
        CHECK(exit_code_in_child(
                  [&] { return run(layer, x, problem.shape) == y && run(layer, x, problem.shape) == y; }) == 0);
    }
    done = true;
    for (std::thread &caller : callers) {
        caller.join();
    }
    CHECK(wrong == 0);
    CHECK(run(layer, x, problem.shape) == y);
}
