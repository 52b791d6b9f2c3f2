#pragma once

#include "kernels/wisdom.h"

#include <aft/kernels.h>

#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// The lengths that wisdom gives to kernels of this library, in place of those of the table.
struct LoadedPreference {
    struct Lengths {
        std::string kernel;
        std::vector<PreferredExtents::Range> seq;  // an empty one, to < from, where another kernel is always faster
    };
    std::string operation, layer, storage;  // layer: `none` for kernels of every form
    std::string file;                       // that it comes from
    std::string reason;                     // why it isn't used; empty when it is
    std::vector<Lengths> lengths;           // of each kernel of its entry

    /// Null for a kernel of another entry.
    const Lengths *of(std::string_view kernel) const;
};

bool operator==(const LoadedPreference &a, const LoadedPreference &b);

/// An entry of the wisdom of `cpu` in a file. It has a reason if it isn't for the kernels of this library or for this
/// machine, whose CPU is called `this_cpu`.
LoadedPreference loaded_preference(const Wisdom::Preference &preference, const std::string &file,
                                   const std::string &cpu, const std::string &this_cpu);

}  // namespace aft
