#include "kernels/kernels.h"

#include "halide/halide.h"
#include "kernels/device.h"
#include "kernels/loaded_kernels.h"

#include <algorithm>
#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

namespace aft {
namespace {

const halide_filter_argument_t *argument(const halide_filter_metadata_t &function, std::string_view name) {
    const auto *end = function.arguments + function.num_arguments;
    const auto *found = std::find_if(function.arguments, end, [&](const auto &a) { return a.name == name; });
    return found == end ? nullptr : found;
}

/// The estimated extent of a dimension of a buffer, 1 when there is none.
std::int64_t estimate(const halide_filter_metadata_t &function, std::string_view buffer, int dimension) {
    const halide_filter_argument_t *found = argument(function, buffer);
    if (!found || !found->buffer_estimates || !found->buffer_estimates[2 * dimension + 1]) {
        return 1;
    }
    return *found->buffer_estimates[2 * dimension + 1];
}

/// Autoscheduled code holds from the sizes on that it was scheduled for; hand schedules have no estimates.
MinimumExtents minimum_extents(const halide_filter_metadata_t &call) {
    MinimumExtents minimum;
    const bool is_layer = argument(call, "bq") != nullptr;  // whose y has the channels of x
    minimum.hidden = is_layer ? std::max(estimate(call, "x", 0), estimate(call, "y", 0)) : estimate(call, "x", 0);
    minimum.projected = is_layer ? estimate(call, "bq", 0)
                                 : std::max({estimate(call, "y", 0), estimate(call, "q", 0), estimate(call, "dy", 0)});
    // A layer has x, a mean has q, whatever its results are.
    const auto of_rows = [&](int dimension) {
        return std::max(
            {estimate(call, "x", dimension), estimate(call, "y", dimension), estimate(call, "q", dimension)});
    };
    minimum.seq = of_rows(1);
    minimum.batch = of_rows(2);
    const halide_filter_argument_t *window = argument(call, "window");
    if (window && window->scalar_estimate) {
        minimum.window = window->scalar_estimate->u.i32;
    }
    for (const char *parameter : {"band", "filter"}) {  // of a scan, which have an entry for each distance
        if (!is_layer && estimate(call, parameter, 0) > 1) {
            minimum.window = estimate(call, parameter, 0);
        }
    }
    return minimum;
}

/// Why no device of this machine can run a kernel; empty when one can.
std::string reason(const std::string &api, const std::string &target, std::string_view storage) {
    std::string first;
    for (const DriverDevice &device : devices_of(api)) {
        const std::string why_not = obstacle(device, target, storage);
        if (why_not.empty()) {
            return "";
        }
        const bool names_device = !device.info.name.empty() && api != "cpu";
        first = first.empty() ? (names_device ? device.info.id + " " : "") + why_not : first;
    }
    return first.empty() ? "this build has no kernels for " + api : first;
}

std::string label_of(const std::string &algorithm, const std::string &schedule) {
    return algorithm == "exact" ? algorithm : schedule;
}

bool is_own(const KernelRow &row) {
    return std::any_of(own_kernels.rows, own_kernels.rows + own_kernels.count,
                       [&](const KernelRow &own) { return std::string_view(own.id) == row.id; });
}

/// The lengths of a row of the table. The general kernel of a whole layer has a tile of 6 rows with AVX2, where the one
/// for few rows, up to 16, needs two tiles of 4: 13 to 50 % more time (docs/performance.md). AVX-512 has a tile of 11.
std::vector<PreferredExtents::Range> lengths_of_table(const KernelRow &row, const std::string &target) {
    constexpr std::int64_t tile_of_few = 4, tile = 6, few = 16;
    const PreferredExtents::Range &seq = row.preferred.seq;
    const bool has_tile = target.find("-avx2") != std::string::npos && target.find("-avx512") == std::string::npos;
    if (has_tile && seq.from == 1 && seq.to == few && std::string_view(row.operation) == "forward" &&
        std::string_view(row.schedule) == "packed" && is_own(row)) {
        return {{1, tile_of_few}, {tile + 1, few}};
    }
    return {seq};
}

/// The descriptions of a row, one for each of its ranges of lengths, which wisdom may give it. A row of the build is
/// there several times, one after the other, if the build's wisdom gives it several ranges.
std::vector<KernelInfo> infos_in(const LoadedWisdom &loaded, const KernelRow &row, const KernelRow *before) {
    const LoadedPreference *const preference = loaded.preference_for(row.id);
    if (preference && before && std::string_view(before->id) == row.id) {
        return {};
    }
    const KernelInfo info = kernel_info(row);
    std::vector<KernelInfo> infos;
    for (const PreferredExtents::Range &seq :
         preference ? preference->of(row.id)->seq : lengths_of_table(row, info.target)) {
        infos.push_back(info);
        infos.back().preferred.seq = seq;
    }
    return infos;
}

/// Adds a kernel. One that is the last already gets one range that holds all of its own.
void add(std::vector<KernelInfo> &infos, const KernelInfo &info) {
    if (infos.empty() || infos.back().id != info.id) {
        infos.push_back(info);
        return;
    }
    PreferredExtents::Range &seq = infos.back().preferred.seq;
    seq = {std::min(seq.from, info.preferred.seq.from), std::max(seq.to, info.preferred.seq.to)};
}

/// A list for each state of what is loaded: callers have older ones.
template<typename Element>
class Lists {
public:
    /// The newest one, which `make` makes where something was loaded since the last one.
    template<typename Make>
    const std::vector<Element> &of(const LoadedWisdom &loaded, const Make &make) {
        if (lists_.empty() || loaded_ != loaded.size()) {
            lists_.push_back(make());
            loaded_ = loaded.size();
        }
        return lists_.back();
    }

private:
    std::list<std::vector<Element>> lists_;
    std::size_t loaded_ = 0;
};

}  // namespace

std::string label(const KernelRow &row) {
    return label_of(row.algorithm, row.schedule);
}

std::string label(const KernelInfo &kernel) {
    return label_of(kernel.algorithm, kernel.schedule);
}

bool is_autoscheduled(const KernelInfo &kernel) {
    const MinimumExtents &minimum = kernel.minimum;
    return std::max({minimum.batch, minimum.seq, minimum.hidden, minimum.projected}) > 1;
}

KernelInfo kernel_info(const KernelRow &row) {
    const halide_filter_metadata_t &call = *row.call.metadata();
    KernelInfo info = kernel_info(row, call.target, reason(row.api, call.target, row.storage));
    info.minimum = minimum_extents(call);
    return info;
}

KernelInfo kernel_info(const KernelRow &row, std::string target, std::string reason) {
    KernelInfo info;
    info.id = row.id;
    info.operation = row.operation;
    info.layer = row.layer;
    info.algorithm = row.algorithm;
    info.schedule = row.schedule;
    info.storage = row.storage;
    info.api = row.api;
    info.target = std::move(target);
    info.any_bias_range = row.any_bias_range;
    info.preferred = row.preferred;
    info.usable = reason.empty();
    info.reason = std::move(reason);
    return info;
}

const std::vector<Kernel> &kernels_of(const std::string &api) {
    static std::mutex mutex;
    static std::map<std::string, Lists<Kernel>> all;
    const std::lock_guard lock(mutex);
    const LoadedWisdom loaded = api == "cpu" ? loaded_wisdom() : LoadedWisdom();
    return all[api].of(loaded, [&] {
        std::vector<Kernel> kernels;
        for (const LoadedKernel *kernel : loaded.kernels) {
            kernels.push_back({kernel->row, kernel->info});
        }
        const KernelRow *before = nullptr;
        for (const KernelRow &row : kernel_rows()) {
            if (row.api == api) {
                for (const KernelInfo &info : infos_in(loaded, row, before)) {
                    kernels.push_back({row, info});
                }
                before = &row;
            }
        }
        return kernels;
    });
}

std::vector<const KernelRow *> all_rows() {
    std::vector<const KernelRow *> result;
    for (const LoadedKernel *kernel : loaded_wisdom().kernels) {
        result.push_back(&kernel->row);
    }
    for (const KernelRow &row : kernel_rows()) {
        if (result.empty() || std::string_view(result.back()->id) != row.id) {
            result.push_back(&row);
        }
    }
    return result;
}

const std::vector<KernelInfo> &kernels() {
    static std::mutex mutex;
    static Lists<KernelInfo> lists;
    const std::lock_guard lock(mutex);
    const LoadedWisdom loaded = loaded_wisdom();
    return lists.of(loaded, [&] {
        std::vector<KernelInfo> infos;
        for (const LoadedKernel *kernel : loaded.kernels) {
            infos.push_back(kernel->info);
        }
        for (const KernelRow &row : kernel_rows()) {
            for (const KernelInfo &info : infos_in(loaded, row, nullptr)) {
                add(infos, info);
            }
        }
        return infos;
    });
}

}  // namespace aft
