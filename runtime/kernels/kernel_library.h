#pragma once

#include "kernels/kernel_table.h"

#include <string>

namespace aft {

/// The names of the functions in a shared object that `aft tune` makes.
inline constexpr char loadable_call[] = "aft_tuned", loadable_prepare[] = "aft_tuned_prepare";

/// The functions of a shared object of kernel_abi.
struct KernelLibrary {
    GeneratedFunction prepare, call;
};

/// Loads a shared object for good: layers keep its functions, and nothing tells when the last one is gone. Throws
/// ConfigError, which doesn't name the path, when the system doesn't load it or it isn't such an object.
KernelLibrary load_kernel_library(const std::string &path);

}  // namespace aft
