#include "threads/thread_pool.h"

#include "threads/float_environment.h"
#include "threads/spin_lock.h"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

namespace aft {
namespace {

// How long a thread looks out before it sleeps: a few times the serial part between two stages of a kernel, and about
// as long as waking it takes.
constexpr std::chrono::microseconds lookout{30};

// A thread that lost its processor has it back after 3 to 10 ms. The time saved by sharing pays for a few such waits:
// so large batches, which gain on the whole, stay shared, and within 0.1 s small ones that lose are run alone. After
// the longest pause, a wait is 1 to 4 % of the time.
constexpr std::chrono::nanoseconds most_saved = std::chrono::milliseconds(20);
constexpr std::chrono::nanoseconds least_lost = std::chrono::microseconds(100);
constexpr std::chrono::nanoseconds longest_pause = std::chrono::milliseconds(250);

/// Looks at a condition some times and yields the processor. Returns whether it holds.
template<typename Condition>
bool look(const Condition &condition) {
    for (int i = 0; i < 32; ++i) {  // reading the clock takes as long as some looks
        if (condition()) {
            return true;
        }
        pause();
    }
    std::this_thread::yield();
    return condition();
}

std::chrono::steady_clock::time_point lookout_end() {
    return std::chrono::steady_clock::now() + lookout;
}

bool is_past(std::chrono::steady_clock::time_point end) {
    return std::chrono::steady_clock::now() >= end;
}

}  // namespace

struct ThreadPool::Loop {
    Task task;
    void *argument;
    int first, end;
    bool is_shared;
    Clock::time_point begin;
    const Loop *root;  // the outermost loop that this one is within
    std::atomic<int> next;
    std::atomic<int> error = 0;
    std::atomic<int> helpers = 0;
    Loop *following = nullptr;

    static thread_local const Loop *current;  // whose iteration this thread runs
};

thread_local const ThreadPool::Loop *ThreadPool::Loop::current = nullptr;

ThreadPool::ThreadPool(int threads) : threads_(threads) {}

ThreadPool::~ThreadPool() {
    stop();
}

void ThreadPool::set_threads(int threads) {
    stop();
    threads_ = threads;
    alone_until_ = Clock::time_point::min();
    saved_ = pause_ = {};
    stopping_ = false;
}

void ThreadPool::start_missing() {
    const auto start = [](void *pool) -> void * {
        static_cast<ThreadPool *>(pool)->work();
        return nullptr;
    };
    // When the system allows no more threads, the caller works with those that run.
    while (!stopping_ && started_ < threads_ - 1 && pthread_create(&others_[started_], nullptr, start, this) == 0) {
        ++started_;
    }
}

void ThreadPool::stop() noexcept {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    for (; started_ > 0; --started_) {
        pthread_join(others_[started_ - 1], nullptr);
    }
}

void ThreadPool::start_anew() noexcept {
    new (this) ThreadPool(threads_);  // the destructor would wait for the threads
}

int ThreadPool::run(Task task, void *argument, int first, int count) noexcept {
    if (count <= 0) {
        return 0;
    }
    // Small layers would spend more time on waking threads than on work.
    const bool may_share = count > 1 && threads_ > 1;
    const Clock::time_point begin = may_share ? Clock::now() : Clock::time_point();
    const bool is_shared = may_share && begin >= alone_until_.load();
    Loop loop{task, argument, first, first + count, is_shared, begin, nullptr, {first}};
    loop.root = Loop::current ? Loop::current->root : &loop;
    if (!is_shared) {
        take_part(loop);
        return loop.error;
    }
    {
        const std::lock_guard lock(mutex_);
        start_missing();
        open(&loop);
    }
    finish(loop, take_part(loop));
    return loop.error;
}

int ThreadPool::take_part(Loop &loop) {
    const Loop *const outer = std::exchange(Loop::current, &loop);
    int iterations = 0, index = loop.next++;
    for (; index < loop.end; index = loop.next++) {
        ++iterations;
        if (const int error = loop.task(loop.argument, index)) {
            int none = 0;
            loop.error.compare_exchange_strong(none, error);
            loop.next = loop.end;
        }
    }
    Loop::current = outer;
    if (loop.is_shared && index == loop.end) {  // the first to find nothing left
        const std::lock_guard lock(mutex_);
        close(&loop);
    }
    return iterations;
}

void ThreadPool::open(Loop *loop) {
    loop->following = std::exchange(loops_, loop);
    ++open_loops_;
    if (sleeping_ > 0) {
        changed_.notify_all();
    }
}

void ThreadPool::close(Loop *loop) {
    for (Loop **at = &loops_; *at; at = &(*at)->following) {
        if (*at == loop) {
            *at = loop->following;
            --open_loops_;
            return;
        }
    }
}

ThreadPool::Loop *ThreadPool::join(const Loop *root) {
    for (Loop *loop = loops_; loop; loop = loop->following) {
        if (!root || loop->root == root) {
            ++loop->helpers;
            return loop;
        }
    }
    return nullptr;
}

void ThreadPool::leave(Loop *loop) {
    if (--loop->helpers == 0 && sleeping_ > 0) {
        changed_.notify_all();
    }
}

/// Waits until all iterations are done. The threads that run the last ones may have started loops in them.
void ThreadPool::finish(Loop &loop, int own_iterations) {
    {
        const std::lock_guard lock(mutex_);
        close(&loop);  // after an error it may still be open; from here on no thread joins
    }
    const auto is_left = [&loop] { return loop.helpers == 0; };
    const Clock::time_point done = Clock::now();
    auto end = done + lookout;
    bool has_waited = false, has_helped = false;
    while (!look(is_left)) {
        has_waited = true;
        std::unique_lock lock(mutex_);
        Loop *other = join(loop.root);
        if (!other && !is_left() && is_past(end)) {
            ++sleeping_;
            changed_.wait(lock);
            --sleeping_;
            end = lookout_end();
        }
        lock.unlock();
        if (other) {
            has_helped = true;
            take_part(*other);
            lock.lock();
            leave(other);
            end = lookout_end();
        }
    }
    const Clock::time_point now = has_waited ? Clock::now() : done;
    const std::lock_guard lock(mutex_);  // the last helper has let go of the loop
    if (own_iterations > 0 && !has_helped) {
        // The estimate assumes that the others' iterations take as long as this thread's, if nothing interrupted it.
        // The others had no more time than has passed.
        const double of_others = loop.end - loop.first - own_iterations;
        const std::chrono::duration<double, std::nano> alone =
            (done - loop.begin) * std::min<double>(of_others / own_iterations, threads_ - 1);
        judge(std::chrono::duration_cast<std::chrono::nanoseconds>(alone) - (now - done), now);
    }
}

/// Decides by the time that the last loop saved or lost whether later loops are shared.
void ThreadPool::judge(std::chrono::nanoseconds saved, Clock::time_point now) {
    saved_ += saved;
    if (saved_ > most_saved) {
        saved_ = most_saved;
        pause_ = {};
    } else if (saved_ < -least_lost) {
        pause_ = std::min(std::max(2 * pause_, -4 * saved), longest_pause);
        alone_until_ = now + pause_;
        saved_ = {};
    }
}

void ThreadPool::work() {
    const FloatEnvironment for_good;  // not the environment of the thread that started this one
    auto end = lookout_end();
    while (!stopping_) {
        if (!look([this] { return open_loops_ > 0 || stopping_; }) && !is_past(end)) {
            continue;
        }
        std::unique_lock lock(mutex_);
        Loop *loop = join(nullptr);
        if (!loop && !stopping_ && is_past(end)) {
            ++sleeping_;
            changed_.wait(lock);
            --sleeping_;
            loop = join(nullptr);
            end = lookout_end();
        }
        lock.unlock();
        if (loop) {
            take_part(*loop);
            lock.lock();
            leave(loop);
            end = lookout_end();
        }
    }
}

}  // namespace aft
