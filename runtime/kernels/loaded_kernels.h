#pragma once

#include "kernels/kernels.h"

#include <string>
#include <vector>

namespace aft {

/// A kernel of a file of wisdom. One that this process can't use has a reason and no functions.
struct LoadedKernel {
    std::string id, algorithm, layout;
    KernelRow row;
    KernelInfo info;
};

/// The kernels that were loaded until now, in order of preference: those of later calls of load_kernels() before those
/// of earlier ones, then those of the environment's AFT_WISDOM, which the first call reads. They live as long as the
/// process. Thread-safe. Throws ConfigError if that file is refused, in every call.
std::vector<const LoadedKernel *> loaded_kernels();

}  // namespace aft
