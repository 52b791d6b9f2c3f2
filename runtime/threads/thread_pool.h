#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <pthread.h>

namespace aft {

/// The threads that the parallel loops of all kernels run on. Halide's own pool sends its threads to sleep after every
/// loop, and waking one takes longer than a stage of a short sequence; these look out for the next loop for a moment.
/// Any number of loops may run at a time, also loops within loops. Whoever starts one takes part in it, and while
/// others finish it, in the loops that its iterations have started.
///
/// Where other programs want the same processors, a thread may lose its own in the middle of an iteration, and the
/// caller waits for milliseconds, longer than all of a short sequence takes alone. So threads that look out yield, in
/// order to lose it there, and while waiting costs more than the others save, callers run their loops alone.
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

    /// Not while a loop runs.
    void set_threads(int threads);
    int threads() const {
        return threads_;
    }

    /// Ends the threads. Loops that run, and later ones, run on their callers alone, until set_threads().
    void stop() noexcept;

    /// For the child of a fork(), which has none of the other threads: forgets them, and the loops that they were in.
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
