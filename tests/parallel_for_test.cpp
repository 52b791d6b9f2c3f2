#include "faults.h"
#include "run.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

using namespace aft;

namespace {

/// Loops on three threads that live for one loop, and how many there were.
struct Loops {
    std::atomic<int> count = 0;

    static void run(void *context, int count, void (*iteration)(void *argument, int index), void *argument) {
        ++static_cast<Loops *>(context)->count;
        std::atomic<int> next = count;  // from the last one on
        const auto take_part = [&] {
            for (int i = --next; i >= 0; i = --next) {
                iteration(argument, i);
            }
        };
        std::vector<std::thread> others;
        for (int i = 0; i < 2; ++i) {
            others.emplace_back(take_part);
        }
        take_part();
        for (std::thread &other : others) {
            other.join();
        }
    }
};

/// The library's threads run the loops afterwards, whatever fails.
struct ParallelForDuring {
    ParallelForDuring(ParallelFor run, void *context) {
        set_parallel_for(run, context);
    }
    ~ParallelForDuring() {
        set_parallel_for(nullptr);
    }
};

std::vector<float> forward(const Problem &problem) {
    return run(Layer(problem.config, make_weights(problem), {"", "cpu"}), make_call(problem).layer);
}

}  // namespace

TEST_CASE("kernels run on the threads of the program, with the same bits", "[threads]") {
    for (const LayerForm &form : {aft_full, aft_simple, aft_local, aft_causal_full, aft_wkv}) {
        INFO(name(form));
        const Problem problem{{form, 70, 60, 300, form.has_window() ? 9 : 0}, {3, 300}};
        const std::vector<float> expected = forward(problem);
        Loops loops;
        {
            const ParallelForDuring during(Loops::run, &loops);
            CHECK(forward(problem) == expected);
        }
        CHECK(loops.count > 0);
        const int before = loops.count;
        CHECK(forward(problem) == expected);
        CHECK(loops.count == before);
    }
}

TEST_CASE("kernels on the threads of a program in C have the same bits", "[threads][c]") {
    const Problem problem{{aft_full, 30, 20, 64}, {2, 64}};
    const std::vector<float> expected = forward(problem);
    Loops loops;
    CHECK(aft_set_parallel_for(Loops::run, &loops) == AFT_OK);
    const std::vector<float> y = forward(problem);
    CHECK(aft_set_parallel_for(nullptr, nullptr) == AFT_OK);
    CHECK(y == expected);
    CHECK(loops.count > 0);
}

TEST_CASE("whichever allocation fails in a loop on the program's threads, the next call is right",
          "[threads][faults]") {
    const Problem problem{{aft_full, 40, 30, 100}, {2, 100}};
    const Weights weights = make_weights(problem);
    const CallTensors call = make_call(problem);
    const std::vector<float> expected = forward(problem);
    const auto alone = [](void *, int count, void (*iteration)(void *argument, int index), void *argument) {
        for (int i = count - 1; i >= 0; --i) {
            iteration(argument, i);
        }
    };
    const ParallelForDuring during(alone, nullptr);
    int thrown = 0;
    bool happened = true;
    for (std::int64_t n = 0; happened; ++n) {
        INFO("allocation " << n);
        const Layer layer(problem.config, weights, {"", "cpu"});
        std::vector<float> y(expected.size());
        const TensorView<float, 3> result(y.data(), call.layer.query.extents);
        {
            const AllocationFault fault(n);
            try {
                layer.forward(call.layer, result);
            } catch (const std::bad_alloc &) {
                ++thrown;
            } catch (const Error &) {
                ++thrown;
            }
            happened = fault.happened();
        }
        layer.forward(call.layer, result);
        CHECK(y == expected);
    }
    CHECK(thrown > 0);
}
