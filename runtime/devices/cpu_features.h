#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// The words of a Halide target: x86, 64, linux, avx2, ...
std::vector<std::string_view> words_of(std::string_view target);

/// The features of a Halide target that this CPU lacks, "avx2, fma"; empty when the CPU runs its code, or the host's
/// part of a GPU kernel.
std::string missing_cpu_features(const std::string &target);

/// Whether this process may use the matrix unit of Sapphire Rapids (AMX). Requests its registers of Linux, once for all
/// threads. Linux refuses where a thread's alternate stack for signals is too small for them; the first instruction of
/// the unit would then end the process.
bool may_use_matrix_unit();

}  // namespace aft
