#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace aft::bench {

namespace {

bool same_problem(const BenchmarkProblem &a, const BenchmarkProblem &b) {
    return subject_name(a) == subject_name(b) && shape_name(a) == shape_name(b);
}

// How to name a device where one reads it, and the ceilings that it has.
std::string title_of(const DeviceResult &each) {
    return each.device.api == "cpu" ? "cpu" : fmt::format("{}, {}", each.device.id, each.device.name);
}

// The figures that only some problems have, as text.
std::string note_of(const Measurement &each) {
    std::string text;
    if (each.of_peak.rounds_left_out != 0) {
        text += fmt::format("  {} of {} rounds left out", each.of_peak.rounds_left_out, each.rounds);
    }
    if (!std::isnan(each.floor_ms)) {
        text += fmt::format("  floor {:.4g} ms", each.floor_ms);
    }
    if (!std::isnan(each.times_bidirectional)) {
        text += fmt::format("  {:.2f} x bidirectional", each.times_bidirectional);
    }
    return text;
}

// How many rounds the percentages leave out, and why.
std::string left_out_line(const std::vector<Measurement> &measurements) {
    int left_out = 0, rounds = 0;
    for (const Measurement &each : measurements) {
        left_out += each.of_peak.rounds_left_out;
        rounds += each.rounds;
    }
    return left_out == 0
               ? ""
               : fmt::format("\n{} of {} rounds are left out of the percentages: the peak beside them was below "
                             "{:g} of the best one, or the kernel was above it\n",
                             left_out, rounds, least_peak);
}

// A line for each kernel: the shapes that it can't do mostly have the same reason.
std::string skipped_table(const std::vector<Skip> &skipped) {
    std::string text = skipped.empty() ? "" : "\nnot measured\n";
    std::set<std::string> seen;
    for (const Skip &each : skipped) {
        if (seen.insert(each.kernel).second) {
            const auto shapes = std::count_if(skipped.begin(), skipped.end(),
                                              [&](const Skip &other) { return other.kernel == each.kernel; });
            text += fmt::format("  {} on {}{}: {}\n", each.kernel, shape_name(each.problem),
                                shapes == 1 ? "" : fmt::format(" and {} more", shapes - 1), each.reason);
        }
    }
    return text;
}

}  // namespace

std::string to_table(const Comparison &comparison) {
    const Machine &machine = comparison.machine;
    std::string text = fmt::format("{}, {} of {} processors\nkernels for {}, Halide {}, {}\n", machine.cpu,
                                   comparison.threads, machine.cores, machine.target, machine.halide, machine.date);
    for (const DeviceResult &each : comparison.devices) {
        text += fmt::format("{}{}{}", title_of(each), each.description.empty() ? "" : ", ", each.description);
        if (!std::isnan(each.fma_peak_gflops.median)) {
            text += fmt::format("{}: {:.1f} GFLOP/s multiply-add peak ({:.1f} best), {:.1f} GB/s copy",
                                each.device.api == "cpu" ? ", " + machine.isa : "", each.fma_peak_gflops.median,
                                each.fma_peak_gflops.best, each.copy_gbytes_per_second.median);
        }
        if (each.device.api != "cpu") {
            text += each.timed == "call" ? "; times of layers are of calls that copy x and y"
                                         : "; times are of calls on tensors of the device";
        }
        text += each.blas.empty() ? "\n" : fmt::format("; {}\n", each.blas);
    }
    const Measurement *before = nullptr;
    for (const Measurement &each : comparison.measurements) {
        if (!before || before->device != each.device || !same_problem(before->problem, each.problem)) {
            text += fmt::format("\nAFT {}, {}{}\n", subject_name(each.problem), shape_name(each.problem),
                                each.kernel.api == "cpu" ? "" : ", " + each.device);
            text += fmt::format("  {:<20}{:>11}{:>11}{:>10}{:>8}{:>8}{:>8}{:>8}{:>9}{:>11}\n", "schedule", "median ms",
                                "best ms", "GFLOP/s", "% peak", "best %", "% ISA", "% BLAS", "x naive", "max error");
        }
        before = &each;
        if (!each.failure.empty()) {
            text += fmt::format("  {:<20}{}\n", schedule_name(each.kernel), each.failure);
            continue;
        }
        const auto known = [](double value, const char *format) {
            return std::isnan(value) ? "-" : fmt::format(fmt::runtime(format), value);
        };
        text += fmt::format("  {:<20}{:>11.4g}{:>11.4g}{:>10.1f}{:>8}{:>8}{:>8}{:>8}{:>9}{:>11.1e}{}\n",
                            schedule_name(each.kernel), each.median_ms, each.best_ms, each.gflops,
                            known(each.of_peak.percent, "{:.1f}"), known(each.of_peak.best_percent, "{:.1f}"),
                            known(each.of_peak.percent_of_isa, "{:.1f}"), known(each.percent_of_blas, "{:.1f}"),
                            known(each.speedup_over_naive, "{:.2f}"), each.max_error, note_of(each));
    }
    return text + left_out_line(comparison.measurements) + skipped_table(comparison.skipped);
}

}  // namespace aft::bench
