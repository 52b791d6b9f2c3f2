#pragma once

#include <vector>

namespace aft::cli {

/// A kernel that the table of this build doesn't have: an operation on a layer by an algorithm, scheduled in one way
/// for one device.
struct MissingKernel {
    const char *operation, *layer, *algorithm, *schedule, *device;
    const char *reason;
};

/// All of them.
const std::vector<MissingKernel> &missing_kernels();

}  // namespace aft::cli
