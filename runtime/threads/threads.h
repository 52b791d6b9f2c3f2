#pragma once

#include "threads/thread_pool.h"

namespace aft {

/// The threads of the process. The first call makes the pool, and throws when memory runs out.
ThreadPool &threads();

}  // namespace aft
