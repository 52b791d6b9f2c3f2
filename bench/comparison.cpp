#include "comparison.h"

#include "failure.h"
#include "field.h"
#include "peaks.h"
#include "probes.h"
#include "rounds.h"

#include "runtime/kernels/selector.h"

#include <aft/layer.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>

namespace aft::bench {

namespace {

// As a standard deviation, of normal noise; a few rounds that something else disturbed don't move it.
double robust_deviation(const std::vector<double> &values) {
    const double middle = median(values);
    std::vector<double> distances;
    for (const double value : values) {
        distances.push_back(std::abs(value - middle));
    }
    return 1.4826 * median(distances);
}

void take_result(const Contestant &contestant, const Peaks &best_peaks, Measurement &measurement) {
    measurement.failure = contestant.failure;
    if (!contestant.failure.empty()) {
        return;
    }
    measurement.rounds = static_cast<int>(contestant.seconds.size());
    measurement.median_ms = median(contestant.seconds) * 1e3;
    measurement.best_ms = *std::min_element(contestant.seconds.begin(), contestant.seconds.end()) * 1e3;
    measurement.deviation_percent = 100 * robust_deviation(contestant.seconds) * 1e3 / measurement.median_ms;
    measurement.gflops = measurement.work / measurement.median_ms / 1e6;
    measurement.of_peak = shares_of_peak(measurement.work, contestant.seconds, contestant.peaks_around, best_peaks);
}

// The best peak of the device in all rounds of a problem, and that of an instruction set beside its kernels.
Peaks best_peaks(const Field &field, const std::string &isa) {
    Peaks best;
    for (std::size_t i = 0; i < field.measurements.size(); ++i) {
        for (const RoundPeaks &round : field.contestants[i].peaks_around) {
            for (const Peaks &each : {round.before, round.after}) {
                best.device = std::fmax(best.device, each.device);  // the one that isn't NaN
                if (field.measurements[i].isa == isa) {
                    best.isa = std::fmax(best.isa, each.isa);
                }
            }
        }
    }
    return best;
}

bool is_wanted(const std::string &schedule, const ComparisonOptions &options) {
    return options.schedules.empty() || std::count(options.schedules.begin(), options.schedules.end(), schedule) != 0;
}

std::vector<KernelInfo> wanted_kernels(const BenchmarkProblem &problem, const ComparisonOptions &options,
                                       const Site &site) {
    std::vector<KernelInfo> wanted;
    for (const Kernel &kernel : kernels_of(site.result.device.api)) {
        const KernelInfo &info = kernel.info;
        if (has_kernels(problem) && computes(info, problem) && is_wanted(label(info), options) &&
            (info.schedule != "tuned" || judge(info, problem).fit == Fit::automatic)) {
            // A kernel with several ranges of lengths is there once for each.
            if (wanted.empty() || wanted.back().id != info.id) {
                wanted.push_back(info);
            } else if (judge(info, problem).fit == Fit::automatic) {
                wanted.back() = info;
            }
        }
        if (problem.only_chosen && !wanted.empty() && judge(wanted.back(), problem).fit == Fit::automatic) {
            const auto is_other = [&](const KernelInfo &each) {
                return each.id != wanted.back().id && each.storage == "float32";
            };
            wanted.erase(std::remove_if(wanted.begin(), wanted.end() - 1, is_other), wanted.end() - 1);
            return wanted;
        }
    }
    return wanted;
}

bool keep(const std::string &storage, const Site &site) {
    const std::vector<Kernel> &kernels = kernels_of(site.result.device.api);
    return std::any_of(kernels.begin(), kernels.end(), [&](const Kernel &kernel) {
        return kernel.info.storage == storage && judge(kernel.info).fit != Fit::none;
    });
}

std::vector<Measurement> compare_on(const BenchmarkProblem &problem, const ComparisonOptions &options,
                                    const std::string &title, Site &site, std::vector<Skip> &skipped) {
    options.progress(title + ": reference", false);
    Field field(site, problem, options.min_seconds);
    std::vector<Skip> unfit;
    for (const KernelInfo &kernel : wanted_kernels(problem, options, site)) {
        // Rows stand in the order of preference: of those that share an entry, the first one that fits has it.
        if (!field.has(entry_name(kernel))) {
            options.progress(fmt::format("{}: checking {}", title, kernel.id), false);
            field.enter(kernel, unfit);
        }
    }
    std::copy_if(unfit.begin(), unfit.end(), std::back_inserter(skipped),
                 [&](const Skip &skip) { return !field.has(skip.entry); });
    if (!has_kernels(problem) && is_wanted(composed_layer, options)) {
        options.progress(fmt::format("{}: checking", title), false);
        field.enter_layer("float32", skipped);
        if (keep("bfloat16", site)) {
            field.enter_layer("bfloat16", skipped);
        }
        if (keep("int8", site) && !is_of_training(problem)) {
            field.enter_layer("int8", skipped);
        }
    }
    options.progress(fmt::format("{}: checking matrix libraries", title), false);
    field.enter_blas();
    std::vector<Measurement> &measurements = field.measurements;
    site.ceilings.join(field.contestants, std::max(options.min_seconds, site.cuda ? 1.0 : 0.0) / 10);
    measure_in_turn(field.contestants, [&](int round) {
        options.progress(fmt::format("{}: {} kernels in turn, round {}", title, measurements.size(), round), false);
        return true;
    });
    const Ceiling copy = site.ceilings.gather(field.contestants);

    double naive_ms = not_measured, cublas_ms = not_measured, blas_gflops = not_measured;
    for (std::size_t i = 0; i < measurements.size(); ++i) {
        take_result(field.contestants[i], best_peaks(field, measurements[i].isa), measurements[i]);
        measurements[i].floor_ms = measurements[i].bytes / copy.median / 1e6;
        if (measurements[i].kernel.schedule == "naive" && !(naive_ms > 0)) {  // the first: for the best instruction set
            naive_ms = measurements[i].median_ms;
        } else if (measurements[i].is_library && site.cuda) {
            cublas_ms = measurements[i].median_ms;
        } else if (measurements[i].is_library) {
            blas_gflops = std::fmax(blas_gflops, measurements[i].gflops);  // the one that isn't NaN
        }
    }
    std::string summary = title + ":";
    for (Measurement &each : measurements) {
        if (!each.is_library) {
            each.speedup_over_naive = naive_ms / each.median_ms;
            each.speedup_over_cublas = cublas_ms / each.median_ms;
            each.percent_of_blas = 100 * each.gflops / blas_gflops;
        }
        summary += each.failure.empty() ? fmt::format("  {} {:.4g} ms", schedule_name(each.kernel), each.median_ms)
                                        : fmt::format("  {} failed", schedule_name(each.kernel));
    }
    options.progress(summary, true);
    return std::move(measurements);
}

// A core of the past has half of the pairs.
void compare_with_bidirectional(std::vector<Measurement> &measurements) {
    for (Measurement &causal : measurements) {
        LayerForm form = causal.problem.config.form;
        if (causal.problem.operation != "core" || !form.is_causal()) {
            continue;
        }
        form.reach = Reach::all;
        for (const Measurement &other : measurements) {
            if (other.kernel.id == causal.kernel.id && other.device == causal.device &&
                other.problem.operation == "core" && other.problem.config.form == form &&
                shape_name(other.problem) == shape_name(causal.problem)) {
                causal.times_bidirectional = causal.median_ms / other.median_ms;
            }
        }
    }
}

}  // namespace

std::string schedule_name(const KernelInfo &kernel) {
    return kernel.id.substr(kernel.id.find(label(kernel)));
}

std::string entry_name(const KernelInfo &kernel) {
    const bool takes_any_shape = kernel.minimum.batch == 1 && kernel.minimum.seq == 1 && kernel.minimum.hidden == 1;
    const std::string isa = kernel.id.substr(std::min(kernel.id.find('@'), kernel.id.size()));
    return takes_any_shape && kernel.schedule != "tuned" ? schedule_name(kernel) : label(kernel) + isa;
}

std::string shape_name(const BenchmarkProblem &problem) {
    const LayerConfig &config = problem.config;
    const auto add_unless = [](std::int64_t usual, const char *name, std::int64_t value) {
        return value == usual ? "" : fmt::format(" {}{}", name, value);
    };
    const std::string variant = variant_name(problem);
    return fmt::format("B{} T{}{}{} P{}{}{}{}", problem.shape.batch, problem.shape.seq,
                       add_unless(0, "m", problem.sources), add_unless(0, "H", config.hidden), config.projected,
                       config.form.has_window() ? fmt::format(" s{}", config.window) : "", variant.empty() ? "" : ", ",
                       variant);
}

std::string variant_name(const BenchmarkProblem &problem) {
    return problem.piece                            ? fmt::format("step of {}", problem.piece)
           : problem.keeps_sources                  ? "kept sources"
           : problem.has_lengths                    ? "lengths"
           : problem.mask == Mask::sources          ? "mask of sources"
           : problem.mask == Mask::pairs            ? "mask of pairs"
           : problem.mask == Mask::pairs_of_samples ? "masks of pairs"
                                                    : "";
}

std::string subject_name(const BenchmarkProblem &problem) {
    const std::string form(name(problem.config.form));
    return problem.operation == "forward" ? form
           : is_projection(problem)       ? problem.operation
                                          : problem.operation + " " + form;
}

Comparison compare(const ComparisonOptions &options) {
    Comparison comparison;
    comparison.machine = this_machine();
    comparison.threads = thread_count();
    for (const auto &[device, problems] : options.devices) {
        Site site(device, comparison.threads, options.blas);
        for (std::size_t i = 0; i < problems.size(); ++i) {
            const std::string title =
                fmt::format("{}[{:2}/{}] {} {}", device.api == "cpu" ? "" : device.id + " ", i + 1, problems.size(),
                            subject_name(problems[i]), shape_name(problems[i]));
            try {
                std::vector<Measurement> measurements =
                    compare_on(problems[i], options, title, site, comparison.skipped);
                std::move(measurements.begin(), measurements.end(), std::back_inserter(comparison.measurements));
            } catch (const std::exception &error) {  // the device is lost: what was measured before still counts
                options.progress(fmt::format("{}: {}", title, what_failed(error)), true);
                std::vector<KernelInfo> lost = wanted_kernels(problems[i], options, site);
                if (lost.empty()) {
                    lost.emplace_back().id = composed_layer;
                }
                for (const KernelInfo &kernel : lost) {
                    comparison.measurements.push_back({kernel, problems[i], device.id});
                    comparison.measurements.back().failure = what_failed(error);
                }
            }
        }
        site.result.fma_peak_gflops = site.ceilings.ceiling("fma");
        site.result.fma_peak_gflops_one_thread = site.ceilings.ceiling("fma_one_thread");
        site.result.copy_gbytes_per_second = site.ceilings.ceiling("copy");
        comparison.devices.push_back(site.result);
    }
    compare_with_bidirectional(comparison.measurements);
    return comparison;
}

}  // namespace aft::bench
