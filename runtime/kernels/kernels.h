#pragma once

#include "kernels/kernel_table.h"

#include <aft/kernels.h>

#include <string>
#include <vector>

namespace aft {

/// The description of a row, most of it from the metadata of the generated code. Looks for the devices of the row's
/// API.
KernelInfo kernel_info(const KernelRow &row);

/// That of a row without functions, for a reason.
KernelInfo kernel_info(const KernelRow &row, std::string target, std::string reason);

struct Kernel {
    const KernelRow &row;
    const KernelInfo info;
};

/// The kernels of one API: those that were loaded (loaded_kernels.h), then those of the tables in their order. A kernel
/// that wisdom gives several ranges of lengths is there once for each. Loads no driver of another API. The list stays
/// as long as the process; load_kernels() begins another one. Thread-safe. Throws ConfigError if the environment's
/// AFT_WISDOM is refused.
const std::vector<Kernel> &kernels_of(const std::string &api);

/// The rows of all kernels in the same order. Looks for no devices but the CPU.
std::vector<const KernelRow *> all_rows();

/// Autoscheduled kernels have a smallest batch, sequence and width; hand schedules take all.
bool is_autoscheduled(const KernelInfo &kernel);

/// The word in an id that says how the kernel computes: its schedule, or `exact` for kernels of the exact algorithm.
std::string label(const KernelRow &row);
std::string label(const KernelInfo &kernel);

}  // namespace aft
