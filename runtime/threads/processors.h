#pragma once

#include <string>

namespace aft {

/// The number of processors that this process may use: those that it may run on, or the CPU quota of its control
/// groups, rounded up, where that is less. At least 1.
int processors();

/// The least CPU quota, in processors, of the control groups (versions 1 and 2) of this process; 0 without one. Ignores
/// files that it can't read or understand. Tests pass another root of the file system.
double cpu_quota(const std::string &root = "");

}  // namespace aft
