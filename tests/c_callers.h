#pragma once

#include <aft/aft_c.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Runs the layer in 4 threads of C at a time, 20 times in each, and lets every thread make a mistake of its own after
/// each. Returns how many results differ from `expected`, which has `bytes`, or messages aren't the thread's own.
int call_from_four_threads(const aft_layer *layer, const int64_t extents[3], const float *x, const float *expected,
                           size_t bytes);

#ifdef __cplusplus
}
#endif
