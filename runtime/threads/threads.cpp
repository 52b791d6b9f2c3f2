#include "threads/threads.h"

#include "system/system.h"
#include "threads/processors.h"

#include <aft/error.h>
#include <aft/threads.h>

#include <algorithm>
#include <new>
#include <string>

namespace aft {
namespace {

/// The threads end when the process exits, and when a shared library with this code is unloaded. The pool itself stays:
/// other threads may still be in calls at exit.
struct ProcessThreads {
    union {
        ThreadPool pool;
    };

    ProcessThreads() : pool(std::min(processors(), ThreadPool::max_threads)) {
        if (!call_at_fork(nullptr, nullptr, [] { threads().start_anew(); })) {
            throw std::bad_alloc();
        }
    }
    ~ProcessThreads() {
        pool.stop();
    }
};

ProgramThreads of_program;

}  // namespace

const ProgramThreads &program_threads() {
    return of_program;
}

void set_parallel_for(ParallelFor run, void *context) {
    of_program = {run, context};
}

ThreadPool &threads() {
    static ProcessThreads all;
    return all.pool;
}

void set_thread_count(int threads) {
    if (threads < 1 || threads > ThreadPool::max_threads) {
        throw ConfigError("thread count is " + std::to_string(threads) + ", must be 1 to " +
                          std::to_string(ThreadPool::max_threads));
    }
    aft::threads().set_threads(threads);
}

int thread_count() {
    return threads().threads();
}

}  // namespace aft
