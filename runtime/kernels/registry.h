#pragma once

#include "kernels/kernel_table.h"

#include <aft/kernels.h>

#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// The words of a Halide target: x86, 64, linux, avx2, ...
std::vector<std::string_view> words_of(std::string_view target);

/// The rows of kernels(), in the same order: those of added tables, then the library's own.
const std::vector<KernelRow> &kernel_rows();

/// What the registry tells of a row of the table: most of it stands in the metadata of the generated code. Looks for
/// the devices of the row's API.
KernelInfo kernel_info(const KernelRow &row);

struct Kernel {
    const KernelRow &row;
    const KernelInfo info;
};

/// The kernels of one API, in the order of the table. No driver of another API is loaded.
const std::vector<Kernel> &kernels_of(const std::string &api);

/// Autoscheduled kernels have a smallest batch, sequence and width; hand schedules take all.
bool is_autoscheduled(const KernelInfo &kernel);

/// What of a Halide target this CPU lacks; empty when it can run the code, or the host's part of a GPU kernel.
std::string missing_cpu_features(const std::string &target);

}  // namespace aft
