#pragma once

#include "kernels/kernels.h"
#include "kernels/preference.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// A kernel of a file of wisdom. One that this process can't use has a reason and no functions.
struct LoadedKernel {
    std::string id, algorithm, layout;
    KernelRow row;
    KernelInfo info;
};

/// All that was loaded until now, in order of preference: what later calls of load_kernels() loaded before that of
/// earlier ones, then that of the environment's AFT_WISDOM. Only grows.
struct LoadedWisdom {
    std::vector<const LoadedKernel *> kernels;
    std::vector<const LoadedPreference *> preferences;

    /// The preference that holds for a kernel of the library; null where the table's lengths do.
    const LoadedPreference *preference_for(std::string_view kernel) const;
    std::size_t size() const {
        return kernels.size() + preferences.size();
    }
};

/// The first call reads AFT_WISDOM. What it returns lives as long as the process. Thread-safe. Throws ConfigError if
/// that file is refused, in every call.
LoadedWisdom loaded_wisdom();

}  // namespace aft
