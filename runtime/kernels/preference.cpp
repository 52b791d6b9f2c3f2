#include "kernels/preference.h"

#include "halide/halide.h"
#include "kernels/kernel_table.h"

#include <aft/config.h>

#include <algorithm>
#include <cstddef>

namespace aft {
namespace {

using Range = PreferredExtents::Range;

const KernelRow *row_of(const std::string &id) {
    const std::vector<KernelRow> &rows = kernel_rows();
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const KernelRow &row) { return row.id == id; });
    return found == rows.end() ? nullptr : &*found;
}

/// Why an entry isn't for the kernels of this library; empty when it is.
std::string why_not(const Wisdom::Preference &preference) {
    const KernelRow *first = nullptr, *last = nullptr;
    for (const std::string &id : preference.kernels) {
        const KernelRow *const row = row_of(id);
        if (!row) {
            return "this library has no kernel " + id;
        }
        first = first ? first : row;
        if (row->operation != preference.operation || !(row->layer == preference.layer) ||
            row->storage != preference.storage || std::string_view(row->algorithm) != first->algorithm ||
            std::string_view(row->schedule) != first->schedule) {
            return id + " computes something else here";
        }
        if (const char *const target = row->call.metadata()->target; target != preference.target) {
            return id + " is for target " + target + " here, was measured for " + preference.target;
        }
        // A layer takes the first kernel of the table that is for a length.
        if (last && row < last) {
            return id + " comes before " + last->id + " here";
        }
        last = row;
    }
    const std::string &rest = preference.lengths.back().kernel;
    return rest == last->id ? "" : rest + " isn't the last one of its kernels here";
}

/// The lengths of a kernel. Those of the last one are all, as the kernels before it take theirs first.
std::vector<Range> lengths_of(const Wisdom::Preference &preference, const std::string &kernel) {
    const auto &lengths = preference.lengths;
    if (kernel == lengths.back().kernel) {
        return {{}};
    }
    std::vector<Range> ranges;
    for (std::size_t i = 0; i + 1 < lengths.size(); ++i) {
        if (lengths[i].kernel == kernel) {
            ranges.push_back({lengths[i].from, lengths[i + 1].from - 1});
        }
    }
    return ranges.empty() ? std::vector<Range>{{1, 0}} : ranges;
}

}  // namespace

const LoadedPreference::Lengths *LoadedPreference::of(std::string_view kernel) const {
    const auto found =
        std::find_if(lengths.begin(), lengths.end(), [&](const Lengths &each) { return each.kernel == kernel; });
    return found == lengths.end() ? nullptr : &*found;
}

bool operator==(const LoadedPreference &a, const LoadedPreference &b) {
    const auto is_same_range = [](const Range &one, const Range &other) {
        return one.from == other.from && one.to == other.to;
    };
    const auto is_same = [&](const LoadedPreference::Lengths &one, const LoadedPreference::Lengths &other) {
        return one.kernel == other.kernel &&
               std::equal(one.seq.begin(), one.seq.end(), other.seq.begin(), other.seq.end(), is_same_range);
    };
    return a.operation == b.operation && a.layer == b.layer && a.storage == b.storage && a.file == b.file &&
           a.reason == b.reason &&
           std::equal(a.lengths.begin(), a.lengths.end(), b.lengths.begin(), b.lengths.end(), is_same);
}

LoadedPreference loaded_preference(const Wisdom::Preference &preference, const std::string &file,
                                   const std::string &cpu, const std::string &this_cpu) {
    LoadedPreference result;
    result.operation = preference.operation;
    result.layer = preference.layer ? name(*preference.layer) : "none";
    result.storage = preference.storage;
    result.file = file;
    result.reason = cpu == this_cpu ? why_not(preference) : "was measured on " + cpu + ", this is " + this_cpu;
    for (const std::string &kernel : preference.kernels) {
        result.lengths.push_back({kernel, lengths_of(preference, kernel)});
    }
    return result;
}

}  // namespace aft
