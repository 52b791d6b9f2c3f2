#include "thread_pool.h"

#include "spin_lock.h"

#include <chrono>
#include <new>
#include <utility>

namespace aft {
namespace {

// How long a thread looks out before it sleeps: a few times the serial part between two stages of a kernel, and about
// what waking it would take.
constexpr std::chrono::microseconds lookout{30};

/// Some looks at a condition. Returns whether it holds.
template<typename Condition>
bool look(const Condition &condition) {
    for (int i = 0; i < 32; i++) {  // reading the clock takes as long as some looks
        if (condition()) {
            return true;
        }
        pause();
    }
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
    int end;
    bool is_shared;
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
    stopping_ = false;
}

void ThreadPool::start_missing() {
    const auto start = [](void *pool) -> void * {
        static_cast<ThreadPool *>(pool)->work();
        return nullptr;
    };
    // When the system has no more, those there are, and the caller, do the work.
    while (!stopping_ && started_ < threads_ - 1 && pthread_create(&others_[started_], nullptr, start, this) == 0) {
        started_++;
    }
}

void ThreadPool::stop() noexcept {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    for (; started_ > 0; started_--) {
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
    const bool is_shared = count > 1 && threads_ > 1;
    Loop loop{task, argument, first + count, is_shared, nullptr, {first}};
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
    take_part(loop);
    finish(loop);
    return loop.error;
}

void ThreadPool::take_part(Loop &loop) {
    const Loop *const outer = std::exchange(Loop::current, &loop);
    int index = loop.next++;
    for (; index < loop.end; index = loop.next++) {
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
}

void ThreadPool::open(Loop *loop) {
    loop->following = std::exchange(loops_, loop);
    open_loops_++;
    if (sleeping_ > 0) {
        changed_.notify_all();
    }
}

void ThreadPool::close(Loop *loop) {
    for (Loop **at = &loops_; *at; at = &(*at)->following) {
        if (*at == loop) {
            *at = loop->following;
            open_loops_--;
            return;
        }
    }
}

ThreadPool::Loop *ThreadPool::join(const Loop *root) {
    for (Loop *loop = loops_; loop; loop = loop->following) {
        if (!root || loop->root == root) {
            loop->helpers++;
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

/// Until all iterations are done. Whoever runs the last ones may have started loops in them.
void ThreadPool::finish(Loop &loop) {
    {
        const std::lock_guard lock(mutex_);
        close(&loop);  // after an error nobody may have come to its end; from here on nobody joins
    }
    const auto is_left = [&loop] { return loop.helpers == 0; };
    auto end = lookout_end();
    while (!look(is_left)) {
        std::unique_lock lock(mutex_);
        Loop *other = join(loop.root);
        if (!other && !is_left() && is_past(end)) {
            sleeping_++;
            changed_.wait(lock);
            sleeping_--;
            end = lookout_end();
        }
        lock.unlock();
        if (other) {
            take_part(*other);
            lock.lock();
            leave(other);
            end = lookout_end();
        }
    }
    const std::lock_guard lock(mutex_);  // the last helper has let go of the loop
}

void ThreadPool::work() {
    auto end = lookout_end();
    while (!stopping_) {
        if (!look([this] { return open_loops_ > 0 || stopping_; }) && !is_past(end)) {
            continue;
        }
        std::unique_lock lock(mutex_);
        Loop *loop = join(nullptr);
        if (!loop && !stopping_ && is_past(end)) {
            sleeping_++;
            changed_.wait(lock);
            sleeping_--;
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
