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

/// A loop on threads of the program: calls iteration(argument, i) once for each i of 0..count - 1, on any threads, in
/// any order, and returns when all calls have returned. An iteration may run a loop within. Nothing may throw.
using ParallelFor = void (*)(void *context, int count, void (*iteration)(void *argument, int index), void *argument);

/// From now on, the kernels of all layers run their parallel loops by `run`, which gets `context`: a program whose own
/// threads wait for work on the same processors is slowed down by a second pool. Null: by the threads of the library
/// again. Results have the same bits. Must not run during a forward().
AFT_API void set_parallel_for(ParallelFor run, void *context = nullptr);

}  // namespace aft
