#pragma once

#include "scratch.h"

namespace aft {

/// A generated function in Halide's argv form: every argument a pointer to a buffer or to a scalar.
using KernelFunction = int (*)(void **);

/// Calls `function`, whose argument number `context_argument` is __user_context and is filled in here. Scratch memory
/// comes from the pool, or from the heap when there is none. Throws KernelError with `id` and the first error that the
/// function reported, from whichever thread.
void call_kernel(const char *id, KernelFunction function, void **arguments, int context_argument,
                 ScratchPool::Call *scratch);

}  // namespace aft
