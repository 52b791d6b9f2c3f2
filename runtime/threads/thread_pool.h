#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <pthread.h>

namespace aft {

/// The threads that run the parallel loops of all kernels. Halide's own pool sends its threads to sleep after every
/// loop, and waking one takes longer than a stage of a short sequence. These threads look out for the next loop before
/// they sleep. Any number of loops may run at a time, also loops within loops. The caller of a loop takes part in it.
/// While others finish it, the caller takes part in the loops that its iterations have started.
///
/// Where other programs use the same processors, a thread may lose its processor in the middle of an iteration. The
/// caller then waits for milliseconds, longer than it needs for a whole short sequence. So threads that look out yield,
/// since losing the processor does no harm there. While waiting costs more than the other threads save, callers run
/// their loops alone.
class ThreadPool {
public:
    static constexpr int max_threads = 256;

    /// Runs one iteration. Returns 0, or an error that ends the loop.
    using Task = int (*)(void *argument, int index);

    /// `threads` include the one that calls run(); 1 to max_threads.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    /// Runs task(argument, i) for first <= i < first + count. Returns the first error, or 0. Allocates nothing.
    int run(Task task, void *argument, int first, int count) noexcept;

    /// Must not run during a loop.
    void set_threads(int threads);
    int threads() const {
        return threads_;
    }

    /// Ends the threads. Until set_threads(), callers run all loops alone, those that are running too.
    void stop() noexcept;

    /// For the child of a fork(), in which the other threads are gone: forgets them and their loops.
    void start_anew() noexcept;

private:
    struct Loop;

    using Clock = std::chrono::steady_clock;

    void start_missing();  // under the mutex, as whatever takes a Loop *
    void work();
    int take_part(Loop &loop);  // how many iterations it ran
    void finish(Loop &loop, int own_iterations);
    void judge(std::chrono::nanoseconds saved, Clock::time_point now);
    void open(Loop *loop);
    void close(Loop *loop);
    Loop *join(const Loop *root);
    void leave(Loop *loop);

    int threads_;
    std::atomic<bool> stopping_ = false;
    std::atomic<int> open_loops_ = 0;
    std::atomic<Clock::time_point> alone_until_ = Clock::time_point::min();  // no loop is shared

    std::mutex mutex_;                               // of all below, and of the links between loops
    std::array<pthread_t, max_threads - 1> others_;  // started by the first loop
    int started_ = 0;                                // of the others
    Loop *loops_ = nullptr;                          // that have iterations left
    int sleeping_ = 0;
    std::condition_variable changed_;
    std::chrono::nanoseconds saved_{0};  // by sharing loops, since it last was in doubt
    std::chrono::nanoseconds pause_{0};  // the last time that loops weren't shared
};

}  // namespace aft
