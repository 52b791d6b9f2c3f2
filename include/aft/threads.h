#pragma once

/// @file
/// The threads that the kernels of all layers run on.

#include <aft/export.h>

namespace aft {

/// Sets the number of threads that kernels of this process run on, with the caller's. The default is the number of
/// processors that the process may run on, or the CPU quota of its control groups (versions 1 and 2), rounded up, where
/// that is less. Throws ConfigError below 1 and above 256. Must not run during a forward().
AFT_API void set_thread_count(int threads);

/// The number of threads. Must not run during set_thread_count().
AFT_API int thread_count();

}  // namespace aft
