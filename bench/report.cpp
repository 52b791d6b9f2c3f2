#include "report.h"

#include "runtime/kernels/selector.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace aft::bench {

extern const char *const report_page;

namespace {

using Json = nlohmann::ordered_json;

bool same_problem(const BenchmarkProblem &a, const BenchmarkProblem &b) {
    return subject_name(a) == subject_name(b) && shape_name(a) == shape_name(b);
}

std::string csv_number(double value) {
    return std::isnan(value) ? "" : fmt::format("{:.6g}", value);
}

// Quoted, as RFC 4180 has it.
std::string csv_text(const std::string &text) {
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c;
        if (c == '"') {
            quoted += c;
        }
    }
    return quoted + '"';
}

// Six digits: a measurement has no more, and the report stays readable. JSON has no NaN and no infinity.
Json json_number(double value) {
    return std::isfinite(value) ? Json(std::stod(fmt::format("{:.6g}", value))) : Json(nullptr);
}

Json json_of(const BenchmarkProblem &problem) {
    const auto unless_0 = [](std::int64_t value) { return value == 0 ? Json(nullptr) : Json(value); };
    const std::string variant = variant_name(problem);
    return {{"batch", problem.shape.batch},
            {"seq", problem.shape.seq},
            {"sources", unless_0(problem.sources)},
            {"hidden", unless_0(problem.config.hidden)},
            {"projected", problem.config.projected},
            {"window", problem.config.form.has_window() ? Json(problem.config.window) : Json(nullptr)},
            {"variant", variant.empty() ? Json(nullptr) : Json(variant)}};
}

// A projection is of no layer.
Json layer_of(const BenchmarkProblem &problem) {
    return is_projection(problem) ? Json(nullptr) : Json(name(problem.config.form));
}

Json json_of(const Measurement &each) {
    return {{"kernel", each.kernel.id},
            {"operation", each.problem.operation},
            {"layer", layer_of(each.problem)},
            {"device", each.kernel.api},
            {"device_id", each.device},
            {"algorithm", each.kernel.algorithm},
            {"schedule", each.kernel.schedule},
            {"entry", entry_name(each.kernel)},
            {"preferred", each.kernel.id == composed_layer || judge(each.kernel, each.problem).fit == Fit::automatic},
            {"target", each.kernel.target},
            {"shape", json_of(each.problem)},
            {"timed", each.timed},
            {"median_ms", json_number(each.median_ms)},
            {"best_ms", json_number(each.best_ms)},
            {"gflops", json_number(each.gflops)},
            {"peak_gflops", json_number(each.peak_gflops)},
            {"percent_of_peak", json_number(each.percent_of_peak)},
            {"best_percent_of_peak", json_number(each.best_percent_of_peak)},
            {"speedup_over_naive", json_number(each.speedup_over_naive)},
            {"speedup_over_cublas", json_number(each.speedup_over_cublas)},
            {"percent_of_blas", json_number(each.percent_of_blas)},
            {"floor_ms", json_number(each.floor_ms)},
            {"times_bidirectional", json_number(each.times_bidirectional)},
            {"deviation_percent", json_number(each.deviation_percent)},
            {"max_error", json_number(each.max_error)},
            {"rounds", each.rounds},
            {"correct", each.failure.empty()},
            {"failure", each.failure.empty() ? Json(nullptr) : Json(each.failure)}};
}

// How to name a device where one reads it, and the ceilings that it has.
std::string title_of(const DeviceResult &each) {
    return each.device.api == "cpu" ? "cpu" : fmt::format("{}, {}", each.device.id, each.device.name);
}

Json json_of(const DeviceResult &each) {
    return {{"id", each.device.id},
            {"api", each.device.api},
            {"name", each.device.name},
            {"memory", each.device.memory},
            {"is_gpu", each.device.is_gpu},
            {"description", each.description},
            {"timed", each.timed},
            {"fma_peak_gflops", json_number(each.fma_peak_gflops.median)},
            {"fma_peak_gflops_best", json_number(each.fma_peak_gflops.best)},
            {"copy_gbytes_per_second", json_number(each.copy_gbytes_per_second.median)},
            {"copy_gbytes_per_second_best", json_number(each.copy_gbytes_per_second.best)},
            {"blas", each.blas.empty() ? Json(nullptr) : Json(each.blas)}};
}

// The CPU's results; empty ones when it took no part.
DeviceResult cpu_of(const Comparison &comparison) {
    for (const DeviceResult &each : comparison.devices) {
        if (each.device.api == "cpu") {
            return each;
        }
    }
    return {};
}

Json json_of(const Comparison &comparison) {
    const Machine &machine = comparison.machine;
    const DeviceResult cpu = cpu_of(comparison);
    Json report;
    report["layers"] = Json::array();
    for (const NamedForm &each : named_forms) {
        report["layers"].push_back({{"name", each.name}, {"title", each.title}, {"bias", each.bias}});
    }
    report["machine"] = {
        {"cpu", machine.cpu},
        {"cores", machine.cores},
        {"threads", comparison.threads},
        {"caches", machine.caches},
        {"isa", machine.isa},
        {"os", machine.os},
        {"compiler", machine.compiler},
        {"halide", machine.halide},
        {"target", machine.target},
        {"date", machine.date},
        {"command", comparison.command},
        {"fma_peak_gflops", json_number(cpu.fma_peak_gflops.median)},
        {"fma_peak_gflops_best", json_number(cpu.fma_peak_gflops.best)},
        {"fma_peak_gflops_one_thread", json_number(cpu.fma_peak_gflops_one_thread.median)},
        {"copy_gbytes_per_second", json_number(cpu.copy_gbytes_per_second.median)},
        {"copy_gbytes_per_second_best", json_number(cpu.copy_gbytes_per_second.best)},
    };
    report["devices"] = Json::array();
    for (const DeviceResult &each : comparison.devices) {
        report["devices"].push_back(json_of(each));
    }
    report["kernels"] = Json::array();
    for (const Measurement &each : comparison.measurements) {
        report["kernels"].push_back(json_of(each));
    }
    report["skipped"] = Json::array();
    for (const Skip &each : comparison.skipped) {
        report["skipped"].push_back(
            {{"kernel", each.kernel}, {"shape", json_of(each.problem)}, {"reason", each.reason}});
    }
    return report;
}

// A command line may hold bytes that aren't UTF-8.
std::string text_of(const Json &json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// The figures that only some problems have, as text.
std::string note_of(const Measurement &each) {
    std::string text;
    if (!std::isnan(each.floor_ms)) {
        text += fmt::format("  floor {:.4g} ms", each.floor_ms);
    }
    if (!std::isnan(each.times_bidirectional)) {
        text += fmt::format("  {:.2f} x bidirectional", each.times_bidirectional);
    }
    return text;
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
            text += fmt::format("  {:<20}{:>11}{:>11}{:>10}{:>8}{:>8}{:>8}{:>9}{:>11}\n", "schedule", "median ms",
                                "best ms", "GFLOP/s", "% peak", "best %", "% BLAS", "x naive", "max error");
        }
        before = &each;
        if (!each.failure.empty()) {
            text += fmt::format("  {:<20}{}\n", schedule_name(each.kernel), each.failure);
            continue;
        }
        const auto known = [](double value, const char *format) {
            return std::isnan(value) ? "-" : fmt::format(fmt::runtime(format), value);
        };
        text += fmt::format("  {:<20}{:>11.4g}{:>11.4g}{:>10.1f}{:>8}{:>8}{:>8}{:>9}{:>11.1e}{}\n",
                            schedule_name(each.kernel), each.median_ms, each.best_ms, each.gflops,
                            known(each.percent_of_peak, "{:.1f}"), known(each.best_percent_of_peak, "{:.1f}"),
                            known(each.percent_of_blas, "{:.1f}"), known(each.speedup_over_naive, "{:.2f}"),
                            each.max_error, note_of(each));
    }
    return text + skipped_table(comparison.skipped);
}

std::string to_csv(const Comparison &comparison) {
    std::string text =
        "kernel,device,operation,layer,algorithm,schedule,batch,seq,sources,hidden,projected,window,variant,median_ms,"
        "best_ms,gflops,percent_of_peak,best_percent_of_peak,speedup_over_naive,speedup_over_cublas,percent_of_blas,"
        "floor_ms,times_bidirectional,deviation_percent,max_error,rounds,failure\n";
    const auto unless_0 = [](std::int64_t value) { return value == 0 ? "" : std::to_string(value); };
    for (const Measurement &each : comparison.measurements) {
        const BenchmarkProblem &problem = each.problem;
        const LayerConfig &config = problem.config;
        const Json layer = layer_of(problem);
        text +=
            fmt::format("{},{},{},{},{},{},", each.kernel.id, each.device, problem.operation,
                        layer.is_null() ? "" : layer.get<std::string>(), each.kernel.algorithm, each.kernel.schedule);
        text += fmt::format("{},{},{},{},{},{},{}", problem.shape.batch, problem.shape.seq, unless_0(problem.sources),
                            unless_0(config.hidden), config.projected,
                            config.form.has_window() ? std::to_string(config.window) : "", variant_name(problem));
        for (const double value :
             {each.median_ms, each.best_ms, each.gflops, each.percent_of_peak, each.best_percent_of_peak,
              each.speedup_over_naive, each.speedup_over_cublas, each.percent_of_blas, each.floor_ms,
              each.times_bidirectional, each.deviation_percent, each.max_error}) {
            text += "," + csv_number(value);
        }
        text += fmt::format(",{},{}\n", each.rounds, each.failure.empty() ? "" : csv_text(each.failure));
    }
    return text;
}

std::string to_json(const Comparison &comparison) {
    return text_of(json_of(comparison), 2) + "\n";
}

std::string to_html(const Comparison &comparison) {
    // "</script>" in the data would end it.
    std::string json = text_of(json_of(comparison), -1);
    for (std::size_t at = 0; (at = json.find("</", at)) != std::string::npos; at += 3) {
        json.replace(at, 2, "<\\/");
    }
    std::string page = report_page;
    const std::string place = "REPORT_JSON";
    return page.replace(page.find(place), place.size(), json);
}

}  // namespace aft::bench
