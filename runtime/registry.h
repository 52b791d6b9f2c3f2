#pragma once

#include "kernel_table.h"

#include <aft/kernels.h>

#include <string>

namespace aft {

/// What the registry tells of a row of the table: most of it stands in the metadata of the generated code.
KernelInfo kernel_info(const KernelRow &row);

/// What of a Halide target this CPU lacks; empty when it can run the code.
std::string missing_cpu_features(const std::string &target);

}  // namespace aft
