#include "faults.h"
#include "reference/problem.h"
#include "run.h"
#include "threads/scratch.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <cstdint>
#include <limits>
#include <new>
#include <thread>

using namespace aft;

namespace {

/// A problem that the kernel can do, of some tiles and tasks.
Problem problem_of(const KernelInfo &kernel) {
    Problem problem = problem_for(kernel);
    problem.shape.batch = std::max<std::int64_t>(problem.shape.batch, 3);
    return problem;
}

/// A call without copies, for counting.
class Call {
public:
    explicit Call(const Problem &problem)
        : x_(make_input(problem)), y_(x_.size()),
          extents_{problem.shape.batch, problem.shape.seq, problem.config.hidden} {}

    void operator()(const Layer &layer) {
        layer.forward(TensorView<const float, 3>(x_.data(), extents_), {y_.data(), extents_});
    }
    const std::vector<float> &y() const {
        return y_;
    }

private:
    std::vector<float> x_, y_;
    TensorView<float, 3>::Extents extents_;
};

/// Runs f in `count` threads that wait for each other before and after.
template<typename F>
void at_once(int count, F f) {
    std::atomic<int> arrived{0};
    std::vector<std::thread> threads;
    const auto meet = [&](int times) {
        for (arrived++; arrived < times * count;) {
            std::this_thread::yield();
        }
    };
    for (int i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            meet(1);
            f([&] { meet(2); });
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
}

}  // namespace

TEST_CASE("blocks are aligned for vectors and may be read a vector further", "[scratch]") {
    ScratchPool pool;
    ScratchPool::Call call(pool);
    for (const std::size_t bytes : {0, 1, 1000, 1024, 1025, 1'000'000}) {
        for (ScratchPool::Call *from : {&call, static_cast<ScratchPool::Call *>(nullptr)}) {
            auto *memory = static_cast<std::uint8_t *>(ScratchPool::allocate(from, bytes));
            REQUIRE(memory);
            CHECK(reinterpret_cast<std::uintptr_t>(memory) % 128 == 0);
            memory[bytes + 127] = 1;
            ScratchPool::release(from, memory);
        }
    }
    CHECK(ScratchPool::allocate(&call, std::numeric_limits<std::size_t>::max()) == nullptr);
    ScratchPool::release(&call, nullptr);
}

TEST_CASE("a pool keeps what calls release, and shapes share it", "[scratch]") {
    ScratchPool pool;
    const auto call_with = [&](std::initializer_list<std::size_t> sizes) {
        ScratchPool::Call call(pool);
        std::vector<void *> held;
        for (const std::size_t bytes : sizes) {
            held.push_back(ScratchPool::allocate(&call, bytes));
        }
        for (void *memory : held) {
            ScratchPool::release(&call, memory);
        }
    };
    call_with({100'000, 3000, 3000});
    const std::size_t bytes = pool.bytes();
    CHECK(bytes == 131'072 + 2 * 4096);
    call_with({3000, 100'000});
    call_with({70'000, 2500, 4096});
    CHECK(pool.bytes() == bytes);
    // Blocks that smaller shapes leave behind are together smaller than the largest.
    for (std::size_t size = 1; size <= 100'000; size += size / 3 + 1) {
        call_with({size});
    }
    CHECK(pool.bytes() <= 2 * 131'072 + 4096);
}

TEST_CASE("after a failure, what a call releases isn't looked at, and its blocks come back at its end", "[scratch]") {
    ScratchPool pool;
    std::size_t bytes = 0;
    for (int repeat = 0; repeat < 3; ++repeat) {
        ScratchPool::Call call(pool);
        ScratchPool::allocate(&call, 5000);
        void *released = ScratchPool::allocate(&call, 5000);
        CHECK(ScratchPool::allocate(&call, std::numeric_limits<std::size_t>::max()) == nullptr);
        int not_of_the_pool = 0;
        for (void *memory : {released, released, static_cast<void *>(&not_of_the_pool)}) {
            ScratchPool::release(&call, memory);
        }
        CHECK((repeat == 0 || pool.bytes() == bytes));
        bytes = pool.bytes();
    }
    CHECK(bytes == 2 * 8192);
}

TEST_CASE("a block that one task held is there for every thread in the next call", "[scratch]") {
    const ThreadCount three(3);
    ScratchPool pool;
    {
        ScratchPool::Call call(pool);
        void *of_call = ScratchPool::allocate(&call, 5000);
        for (int i = 0; i < 4; ++i) {
            const ScratchPool::Task task;
            ScratchPool::release(&call, ScratchPool::allocate(&call, 5000));
        }
        ScratchPool::release(&call, of_call);
    }
    CHECK(pool.bytes() == (1 + 3) * 8192);
}

TEST_CASE("as many calls at a time as there were before find their blocks", "[scratch]") {
    const ThreadCount two(2);
    ScratchPool pool;
    at_once(3, [&](const auto &meet) {
        ScratchPool::Call call(pool);
        meet();
        ScratchPool::release(&call, ScratchPool::allocate(&call, 5000));
        const ScratchPool::Task task;
        ScratchPool::release(&call, ScratchPool::allocate(&call, 50'000));
    });
    // Three callers, two of which may help the third, and Halide's own thread.
    CHECK(pool.bytes() == 3 * 8192 + 4 * 65'536);
}

TEST_CASE("the second call of a kernel at a shape allocates nothing", "[scratch]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!runs_by_default(kernel) || kernel.api != "cpu") {  // what drivers allocate on the host is theirs
            continue;
        }
        for (const int threads : {1, 2, 4}) {
            INFO(kernel.id << " with " << threads << " threads");
            const ThreadCount set(threads);
            const Problem problem = problem_of(kernel);
            const Layer layer(problem.config, make_weights(problem), {kernel.id});
            CHECK(layer.scratch_bytes() == 0);
            Call call(problem);
            call(layer);
            const std::size_t bytes = layer.scratch_bytes();
            const std::int64_t before = allocations();
            for (int repeat = 0; repeat < 5; ++repeat) {
                call(layer);
            }
            CHECK(allocations() - before == 0);
            CHECK(layer.scratch_bytes() == bytes);
        }
    }
}

TEST_CASE("whichever allocation fails, nothing leaks and the next call works", "[scratch]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!runs_by_default(kernel) || kernel.api != "cpu") {  // drivers may end the process
            continue;
        }
        INFO(kernel.id);
        const ThreadCount two(2);
        const Problem problem = problem_of(kernel);
        const Weights weights = make_weights(problem);
        Call call(problem);
        call(Layer(problem.config, weights, {kernel.id}));
        const std::vector<float> expected = call.y();
        int failures = 0;
        for (std::int64_t n = 0;; ++n) {
            const std::int64_t live_before = live_allocations();
            bool happened = true;
            {
                std::unique_ptr<Layer> layer;
                try {
                    const AllocationFault fault(n);
                    layer = std::make_unique<Layer>(problem.config, weights, LayerOptions{kernel.id});
                    call(*layer);
                    happened = fault.happened();
                } catch (const std::bad_alloc &) {
                    ++failures;
                } catch (const KernelError &error) {
                    ++failures;
                    CHECK(std::string(error.what()).find(kernel.id) == 0);
                }
                if (layer) {
                    call(*layer);
                    CHECK(call.y() == expected);
                }
            }
            CHECK(live_allocations() == live_before);
            if (!happened) {
                break;
            }
        }
        CHECK(failures > 0);
    }
}
