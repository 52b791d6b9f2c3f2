#include "report.h"

#include "runtime/kernels/selector.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace aft::bench {

extern const char *const report_page;

namespace {

using Json = nlohmann::ordered_json;

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
            {"preferred", is_composed_layer(each.kernel.id) || judge(each.kernel, each.problem).fit == Fit::automatic},
            {"target", each.kernel.target},
            {"shape", json_of(each.problem)},
            {"timed", each.timed},
            {"median_ms", json_number(each.median_ms)},
            {"best_ms", json_number(each.best_ms)},
            {"gflops", json_number(each.gflops)},
            {"peak_gflops", json_number(each.of_peak.peaks.device)},
            {"percent_of_peak", json_number(each.of_peak.percent)},
            {"best_percent_of_peak", json_number(each.of_peak.best_percent)},
            {"isa", each.isa.empty() ? Json(nullptr) : Json(each.isa)},
            {"isa_peak_gflops", json_number(each.of_peak.peaks.isa)},
            {"percent_of_isa_peak", json_number(each.of_peak.percent_of_isa)},
            {"rounds_left_out", each.of_peak.rounds_left_out},
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

}  // namespace

std::string to_csv(const Comparison &comparison) {
    std::string text =
        "kernel,device,operation,layer,algorithm,schedule,batch,seq,sources,hidden,projected,window,variant,median_ms,"
        "best_ms,gflops,percent_of_peak,best_percent_of_peak,percent_of_isa_peak,speedup_over_naive,speedup_over_"
        "cublas,"
        "percent_of_blas,floor_ms,times_bidirectional,deviation_percent,max_error,rounds,rounds_left_out,isa,failure\n";
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
             {each.median_ms, each.best_ms, each.gflops, each.of_peak.percent, each.of_peak.best_percent,
              each.of_peak.percent_of_isa, each.speedup_over_naive, each.speedup_over_cublas, each.percent_of_blas,
              each.floor_ms, each.times_bidirectional, each.deviation_percent, each.max_error}) {
            text += "," + csv_number(value);
        }
        text += fmt::format(",{},{},{},{}\n", each.rounds, each.of_peak.rounds_left_out, each.isa,
                            each.failure.empty() ? "" : csv_text(each.failure));
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
