#include "thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>

namespace aft {
namespace {

// How long a thread looks out before it sleeps: a few times the serial part between two stages of a kernel, and about
// what waking it would take.
constexpr std::chrono::microseconds lookout{30};

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// Waits for a condition, though not for long. Returns whether it holds.
template<typename Condition>
bool look_out_for(const Condition &condition) {
    constexpr int looks_per_time = 32;  // reading the clock takes as long as some looks
    const auto end = std::chrono::steady_clock::now() + lookout;
    do {
        for (int i = 0; i < looks_per_time; i++) {
            if (condition()) {
                return true;
            }
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    return condition();
}

}  // namespace

struct ThreadPool::Loop {
    Task task;
    void *argument;
    int end;
    std::atomic<int> next;
    std::atomic<int> error = 0;
    std::atomic<int> helpers = 0;
    Loop *following = nullptr;

    bool is_open() const {
        return next.load(std::memory_order_relaxed) < end;
    }
};

ThreadPool::ThreadPool(int threads) : threads_(threads) {}

ThreadPool::~ThreadPool() {
    stop();
}

void ThreadPool::set_threads(int threads) {
    stop();
    threads_ = threads;
}

void ThreadPool::start_missing() {
    try {
        while (static_cast<int>(others_.size()) < threads_ - 1) {
            others_.emplace_back([this] { work(); });
        }
    } catch (const std::system_error &) {  // the system has no more; those there are, and the caller, do the work
    }
}

void ThreadPool::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        opened_.notify_all();
    }
    for (std::thread &other : others_) {
        other.join();
    }
    others_.clear();
    stopping_ = false;
}

int ThreadPool::run(Task task, void *argument, int first, int count) {
    if (count <= 0) {
        return 0;
    }
    Loop loop{task, argument, first + count, {first}};
    if (count == 1 || threads_ == 1) {  // small layers would spend more time on waking threads than on work
        take_part(loop);
        return loop.error;
    }
    {
        const std::lock_guard lock(mutex_);
        start_missing();
        loop.following = loops_;
        loops_ = &loop;
        open_loops_++;
        for (int i = std::min(sleeping_, count - 1); i > 0; i--) {
            opened_.notify_one();
        }
    }
    take_part(loop);
    {
        const std::lock_guard lock(mutex_);
        Loop **at = &loops_;
        while (*at != &loop) {
            at = &(*at)->following;
        }
        *at = loop.following;
        open_loops_--;
    }
    const auto is_left = [&loop] { return loop.helpers == 0; };
    if (!look_out_for(is_left)) {
        std::unique_lock lock(mutex_);
        left_.wait(lock, is_left);
    }
    // The last helper may still hold the mutex, but no longer looks at the loop.
    return loop.error;
}

void ThreadPool::take_part(Loop &loop) {
    while (loop.is_open()) {
        const int index = loop.next++;
        if (index >= loop.end) {
            return;
        }
        if (const int error = loop.task(loop.argument, index)) {
            int none = 0;
            loop.error.compare_exchange_strong(none, error);
            loop.next = loop.end;
        }
    }
}

ThreadPool::Loop *ThreadPool::join_a_loop() {
    for (Loop *loop = loops_; loop; loop = loop->following) {
        if (loop->is_open()) {
            loop->helpers++;
            return loop;
        }
    }
    return nullptr;
}

void ThreadPool::leave(Loop &loop) {
    const std::lock_guard lock(mutex_);
    if (--loop.helpers == 0) {
        left_.notify_all();
    }
}

void ThreadPool::work() {
    while (!stopping_) {
        look_out_for([this] { return open_loops_ > 0 || stopping_; });
        std::unique_lock lock(mutex_);
        Loop *loop = join_a_loop();
        if (!loop && open_loops_ == 0 && !stopping_) {
            sleeping_++;
            opened_.wait(lock);
            sleeping_--;
            loop = join_a_loop();
        }
        lock.unlock();
        if (loop) {
            take_part(*loop);
            leave(*loop);
        }
    }
}

}  // namespace aft
