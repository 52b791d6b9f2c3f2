#pragma once

#include "threads/thread_pool.h"

#include <aft/threads.h>

namespace aft {

/// The arguments of set_parallel_for().
struct ProgramThreads {
    ParallelFor run = nullptr;
    void *context = nullptr;
};
const ProgramThreads &program_threads();

/// The threads of the process. The first call makes the pool, and throws when memory runs out.
ThreadPool &threads();

}  // namespace aft
