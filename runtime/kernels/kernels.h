#pragma once

#include "kernels/kernel_table.h"

#include <aft/kernels.h>

#include <string>
#include <vector>

namespace aft {

/// The description of a row, most of it from the metadata of the generated code. Looks for the devices of the row's
/// API.
KernelInfo kernel_info(const KernelRow &row);

struct Kernel {
    const KernelRow &row;
    const KernelInfo info;
};

/// The kernels of one API, in the order of the table. Loads no driver of another API. Thread-safe.
const std::vector<Kernel> &kernels_of(const std::string &api);

/// Autoscheduled kernels have a smallest batch, sequence and width; hand schedules take all.
bool is_autoscheduled(const KernelInfo &kernel);

/// The word in an id that says how the kernel computes: its schedule, or `exact` for kernels of the exact algorithm.
std::string label(const KernelRow &row);
std::string label(const KernelInfo &kernel);

}  // namespace aft
