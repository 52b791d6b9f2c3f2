#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace aft {

/// The threads that the parallel loops of all kernels run on. Halide's own pool sends its threads to sleep after every
/// loop, and waking one takes longer than a stage of a short sequence; these look out for the next loop for a moment.
/// Any number of loops may run at a time, also loops within loops. Whoever starts one takes part in it, and while
/// others finish it, in the loops that its iterations have started.
class ThreadPool {
public:
    /// Runs one iteration. Returns 0, or an error that ends the loop.
    using Task = int (*)(void *argument, int index);

    /// `threads` include the one that calls run().
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    /// Runs task(argument, i) for first <= i < first + count. Returns the first error, or 0.
    int run(Task task, void *argument, int first, int count);

    /// Not while a loop runs.
    void set_threads(int threads);
    int threads() const {
        return threads_;
    }

private:
    struct Loop;

    void start_missing();  // under the mutex, as whatever takes a Loop *
    void stop();
    void work();
    void take_part(Loop &loop);
    void finish(Loop &loop);
    void open(Loop *loop);
    void close(Loop *loop);
    Loop *join(const Loop *root);
    void leave(Loop *loop);

    int threads_;
    std::atomic<bool> stopping_ = false;
    std::atomic<int> open_loops_ = 0;

    std::mutex mutex_;                 // of all below, and of the links between loops
    std::vector<std::thread> others_;  // started by the first loop
    Loop *loops_ = nullptr;            // that have iterations left
    int sleeping_ = 0;
    std::condition_variable changed_;
};

}  // namespace aft
