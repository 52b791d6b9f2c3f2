#pragma once

#include <string>

namespace aft {

/// How many processors this process may use: those that it may run on, or fewer where its control groups have a quota
/// of CPU time, rounded up. At least 1.
int processors();

/// The least quota of CPU time, in processors, of the control groups (version 1 and 2) that this process is in; 0 when
/// there is none. What can't be read or understood says nothing. The root of the file system is "" but for tests.
double cpu_quota(const std::string &root = "");

}  // namespace aft
