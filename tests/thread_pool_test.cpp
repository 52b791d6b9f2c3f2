#include "threads/thread_pool.h"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

using namespace aft;

namespace {

constexpr int iterations = 1000;

/// Counts how often each iteration ran.
struct Counts {
    std::array<std::atomic<int>, iterations> of{};

    static int count(void *counts, int index) {
        static_cast<Counts *>(counts)->of[index]++;
        return 0;
    }
    bool all_are(int expected) const {
        return std::all_of(of.begin(), of.end(), [expected](const auto &count) { return count == expected; });
    }
};

/// An iteration of two that wait for each other, which takes two threads. Returns 1 when the other doesn't come: on a
/// busy machine a caller may run its loops alone for a while, which is shorter than this waits.
int meet(void *argument, int) {
    auto &arrived = *static_cast<std::atomic<int> *>(argument);
    ++arrived;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (arrived < 2 && std::chrono::steady_clock::now() < end) {
        std::this_thread::yield();
    }
    return arrived == 2 ? 0 : 1;
}

}  // namespace

TEST_CASE("a loop runs every iteration once, on any number of threads", "[threads]") {
    ThreadPool pool(1);
    for (const int threads : {1, 2, 3, 8, 2, 1}) {
        pool.set_threads(threads);
        CHECK(pool.threads() == threads);
        Counts counts;
        for (int repeat = 1; repeat <= 50; ++repeat) {
            CHECK(pool.run(Counts::count, &counts, 0, iterations) == 0);
            CHECK(counts.all_are(repeat));
        }
    }
}

TEST_CASE("a loop covers its range and nothing else", "[threads]") {
    ThreadPool pool(2);
    Counts counts;
    CHECK(pool.run(Counts::count, &counts, 7, 3) == 0);
    CHECK(pool.run(Counts::count, &counts, 500, 0) == 0);
    CHECK(pool.run(Counts::count, &counts, 600, 1) == 0);
    for (int i = 0; i < iterations; ++i) {
        CHECK(counts.of[i] == ((i >= 7 && i < 10) || i == 600 ? 1 : 0));
    }
}

TEST_CASE("threads that went to sleep take part in the next loop", "[threads]") {
    ThreadPool pool(2);
    Counts counts;
    pool.run(Counts::count, &counts, 0, iterations);
    int met = 0;
    for (int repeat = 0; repeat < 10; ++repeat) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::atomic<int> arrived = 0;
        met += pool.run(meet, &arrived, 0, 2) == 0;
    }
    CHECK(met >= 5);
}

TEST_CASE("whoever has finished its own iterations takes part in loops within the others", "[threads]") {
    ThreadPool pool(2);
    for (const auto rest : {std::chrono::microseconds(0), std::chrono::microseconds(1000)}) {
        struct Outer {
            ThreadPool &pool;
            std::chrono::microseconds rest;
            std::atomic<int> arrived = 0, inner_arrived = 0;
        };
        const auto one_has_a_loop_within = [](void *argument, int index) {
            Outer &outer = *static_cast<Outer *>(argument);
            const int error = meet(&outer.arrived, index);  // on the caller and on the other thread, either way
            if (error || index == 0) {
                return error;
            }
            std::this_thread::sleep_for(outer.rest);
            return outer.pool.run(meet, &outer.inner_arrived, 0, 2);
        };
        int met = 0;
        for (int repeat = 0; repeat < 50; ++repeat) {
            Outer outer{pool, rest};
            met += pool.run(one_has_a_loop_within, &outer, 0, 2) == 0;
        }
        CHECK(met >= 25);
    }
}

TEST_CASE("a loop ends at its first error, and returns it", "[threads]") {
    for (const int threads : {1, 2, 4}) {
        ThreadPool pool(threads);
        std::atomic<int> runs = 0;
        const auto fail_at_10 = [](void *argument, int index) {
            ++*static_cast<std::atomic<int> *>(argument);
            return index == 10 ? -7 : 0;
        };
        CHECK(pool.run(fail_at_10, &runs, 0, 1000000) == -7);
        CHECK(runs < 1000000);
        Counts counts;
        CHECK(pool.run(Counts::count, &counts, 0, iterations) == 0);
        CHECK(counts.all_are(1));
    }
}

TEST_CASE("loops of several callers, and loops within loops, run side by side", "[threads]") {
    ThreadPool pool(3);
    struct Outer {
        ThreadPool &pool;
        Counts counts;
    } outer{pool, {}};
    const auto nested = [](void *argument, int) {
        Outer &outer = *static_cast<Outer *>(argument);
        return outer.pool.run(Counts::count, &outer.counts, 0, iterations);
    };
    std::vector<std::thread> callers;
    std::atomic<int> errors = 0;
    for (int caller = 0; caller < 4; ++caller) {
        callers.emplace_back([&] { errors += pool.run(nested, &outer, 0, 5) != 0; });
    }
    for (std::thread &caller : callers) {
        caller.join();
    }
    CHECK(errors == 0);
    CHECK(outer.counts.all_are(20));
}

TEST_CASE("a loop uses no more threads than the pool has", "[threads]") {
    ThreadPool pool(2);
    struct Seen {
        std::mutex mutex;
        std::set<std::thread::id> threads;
    } seen;
    const auto note = [](void *argument, int) {
        Seen &seen = *static_cast<Seen *>(argument);
        const std::lock_guard lock(seen.mutex);
        seen.threads.insert(std::this_thread::get_id());
        return 0;
    };
    for (int i = 0; i < 100; ++i) {
        pool.run(note, &seen, 0, 20);
    }
    CHECK(seen.threads.size() <= 2);
    CHECK(seen.threads.count(std::this_thread::get_id()) == 1);
}

TEST_CASE("callers go on alone while the others lose their processors, and share again when they don't", "[threads]") {
    ThreadPool pool(2);
    struct Work {
        std::thread::id caller = std::this_thread::get_id();
        std::atomic<bool> is_contended = true;
        std::atomic<int> losses = 0;
    } work;
    const auto iteration = [](void *argument, int) {
        Work &work = *static_cast<Work *>(argument);
        const bool is_lost = work.is_contended && std::this_thread::get_id() != work.caller;
        work.losses += is_lost;
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(is_lost ? 5000 : 20);
        while (std::chrono::steady_clock::now() < end) {}
        return 0;
    };
    // Each loop takes 1 ms alone. Shared, each takes 5 ms, unless the caller too has lost its processor: hence again.
    int fewest = 200;
    for (int attempt = 0; attempt < 5 && fewest >= 100; ++attempt) {
        work.losses = 0;
        for (int loop = 0; loop < 200; ++loop) {
            pool.run(iteration, &work, 0, 50);
        }
        fewest = std::min(fewest, work.losses.load());
    }
    CHECK(fewest < 100);
    work.is_contended = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    std::atomic<int> arrived = 0;
    CHECK(pool.run(meet, &arrived, 0, 2) == 0);
}

TEST_CASE("a thousand callers at a time share the threads", "[threads]") {
    ThreadPool pool(4);
    Counts counts;
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 1000; ++caller) {
        callers.emplace_back([&] { pool.run(Counts::count, &counts, 0, iterations); });
    }
    for (std::thread &caller : callers) {
        caller.join();
    }
    CHECK(counts.all_are(1000));
}

TEST_CASE("as many threads as a pool may have run a loop", "[threads]") {
    ThreadPool pool(ThreadPool::max_threads);
    Counts counts;
    for (int repeat = 1; repeat <= 10; ++repeat) {
        CHECK(pool.run(Counts::count, &counts, 0, iterations) == 0);
        CHECK(counts.all_are(repeat));
    }
}

TEST_CASE("iterations run in the default floating-point environment on every other thread", "[threads][environment]") {
    std::fesetround(FE_DOWNWARD);
    ThreadPool pool(2);
    struct Modes {
        std::atomic<int> arrived = 0;
        std::thread::id caller = std::this_thread::get_id();
        volatile float one = 1, three = 3, third_of_other = 0;
    } modes;
    const auto note = [](void *argument, int index) {
        Modes &modes = *static_cast<Modes *>(argument);
        if (std::this_thread::get_id() != modes.caller) {
            modes.third_of_other = modes.one / modes.three;
        }
        return meet(&modes.arrived, index);
    };
    const int error = pool.run(note, &modes, 0, 2);
    const float callers_third = modes.one / modes.three;
    std::fesetround(FE_TONEAREST);
    CHECK(error == 0);
    CHECK(modes.third_of_other == modes.one / modes.three);
    CHECK(callers_third < modes.one / modes.three);
}
