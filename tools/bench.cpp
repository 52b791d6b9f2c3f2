#include "commands.h"
#include "progress.h"
#include "shape.h"
#include "streams.h"

#include "bench/comparison.h"
#include "bench/report.h"
#include "bench/text_file.h"
#include "reference/benchmark_problems.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/selector.h"

#include <aft/aft.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace aft::cli {

namespace {

struct BenchOptions {
    std::vector<std::string> layers, forms, shapes, schedules, devices;
    std::string format = "table", report;
    std::optional<std::int64_t> threads;
    std::optional<double> min_seconds;
    bool quick = false, blas = false;
};

// The named devices; by default the CPU and the first GPU of each API. The CPU behind another API is no default.
std::vector<Device> chosen_devices(const BenchOptions &options) {
    std::vector<Device> chosen;
    for (const std::string &id : options.devices) {
        chosen.push_back(device_named(id).info);  // loads no driver of another API
    }
    const auto add = [&](bool gpus) {
        for (const Device &each : devices()) {
            const bool has_api =
                std::any_of(chosen.begin(), chosen.end(), [&](const Device &other) { return other.api == each.api; });
            if (each.usable && !has_api && (gpus ? each.is_gpu : each.api == "cpu")) {
                chosen.push_back(each);
            }
        }
    };
    if (options.devices.empty()) {
        add(false);
        add(true);
    }
    return chosen;
}

bool has(const std::vector<std::string> &names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// Everything that can be timed of a shape.
std::vector<BenchmarkProblem> problems_at(const std::string &shape) {
    std::vector<BenchmarkProblem> result = {projection_alone(problem(shape, aft_full)),
                                            trained_projection(problem(shape, aft_full), "linear_training"),
                                            trained_projection(problem(shape, aft_full), "linear_gradients")};
    for (const NamedForm &named : named_forms) {
        result.emplace_back(problem(shape, named.form));
        result.push_back(mean_alone(problem(shape, named.form)));
        if (!named.form.varies_by_channel()) {
            const std::vector<BenchmarkProblem> training = training_of(problem(shape, named.form));
            result.insert(result.end(), training.begin(), training.end());
        }
    }
    return result;
}

std::vector<BenchmarkProblem> problems(const BenchOptions &options, const Device &device) {
    std::vector<BenchmarkProblem> listed, result;
    for (const std::string &shape : options.shapes) {
        const std::vector<BenchmarkProblem> of_shape = problems_at(shape);
        listed.insert(listed.end(), of_shape.begin(), of_shape.end());
    }
    if (options.shapes.empty()) {
        listed = options.quick   ? quick_benchmark_problems(device.api)
                 : device.is_gpu ? gpu_benchmark_problems()
                                 : benchmark_problems();
    }
    const bool takes_all = options.layers.empty() && options.forms.empty();
    std::copy_if(listed.begin(), listed.end(), std::back_inserter(result), [&](const BenchmarkProblem &each) {
        const std::string_view form = is_projection(each) ? "" : name(each.config.form);
        return takes_all || (each.operation == "forward" && has(options.layers, form)) || has(options.forms, form) ||
               has(options.forms, each.operation);
    });
    return result;
}

void bench(const BenchOptions &options, const std::string &command) {
    if (options.threads) {
        set_thread_count(static_cast<int>(*options.threads));
    }
    bench::ComparisonOptions comparison_options;
    for (const Device &each : chosen_devices(options)) {
        comparison_options.devices.push_back({each, problems(options, each)});
    }
    comparison_options.schedules = options.schedules;
    comparison_options.min_seconds = options.min_seconds.value_or(options.quick ? 0.2 : 1.0);
    comparison_options.blas = options.blas;
    comparison_options.progress = show_progress;
    if (!options.report.empty()) {
        std::filesystem::create_directories(options.report);  // minutes before it is written: better now than then
    }

    bench::Comparison comparison = bench::compare(comparison_options);
    comparison.command = command;
    print(options.format == "json"  ? bench::to_json(comparison)
          : options.format == "csv" ? bench::to_csv(comparison)
                                    : bench::to_table(comparison));
    if (!options.report.empty()) {
        const std::filesystem::path folder = options.report;
        bench::write_text(folder / "report.html", bench::to_html(comparison));
        bench::write_text(folder / "report.json", bench::to_json(comparison));
        bench::write_text(folder / "report.csv", bench::to_csv(comparison));
        // After a table it goes the table's way: what joins two streams may put one of them into a row of the other.
        const std::string message = fmt::format("report: {}\n", (folder / "report.html").string());
        options.format == "table" ? print(message) : say(message);
    }
    for (const bench::Measurement &each : comparison.measurements) {
        if (!each.failure.empty()) {
            throw std::runtime_error(
                fmt::format("{} on {}: {}", each.kernel.id, bench::shape_name(each.problem), each.failure));
        }
    }
}

std::set<std::string> schedule_names() {
    std::set<std::string> names;
    for (const KernelRow &row : kernel_rows()) {  // kernels() would load drivers
        names.insert(label(row));
    }
    names.insert({"tuned", bench::composed_layer});  // the environment's AFT_WISDOM may have tuned ones
    return names;
}

std::vector<std::string> form_names() {
    std::vector<std::string> names = operations_of_parts();
    for (const NamedForm &named : named_forms) {
        names.emplace_back(named.name);
    }
    return names;
}

}  // namespace

void add_bench(CLI::App &app, const std::string &command_line) {
    CLI::App *command = app.add_subcommand("bench", "Check every kernel, then compare the speed of the schedules");
    command->footer("\nExample:\n  aft bench --layer local --shape 4,1024,512,512,32 --threads 1 --report build/bench\n"
                    "\nWithout --shape, the shapes are those of the paper's models and of models that AFT runs in. The "
                    "exit code is 1 if a kernel is wrong.");
    const auto options = std::make_shared<BenchOptions>();
    add_layers(*command, options->layers);
    const std::vector<std::string> forms = form_names();
    command
        ->add_option("--form", options->forms,
                     fmt::format("a form with all that is timed of it, or a part of every form: {}; default: all",
                                 fmt::join(forms, ", ")))
        ->check(CLI::IsMember(forms));
    command->add_option("--shape", options->shapes, shape_help());
    command
        ->add_option("--schedule", options->schedules,
                     "schedules to compare, `layer` for those that are composed of several kernels; default: all")
        ->check(CLI::IsMember(schedule_names()));
    command->add_option("--device", options->devices,
                        "id or API of a device (see aft devices); default: the CPU and the first GPU of each API");
    add_threads(*command, options->threads);
    command->add_flag("--quick", options->quick, "measure small shapes for a short time: under a minute");
    command->add_flag("--blas", options->blas,
                      "on the CPU, also measure sgemm of OpenBLAS and oneDNN if they are found");
    add_number(*command, "--min-time", options->min_seconds, 0.001, 3600.0,
               "seconds of measurement per kernel and shape, 0.001 to 3600; default: 1");
    command->add_option("--format", options->format, "format of standard output: table, csv or json")
        ->check(CLI::IsMember({"table", "csv", "json"}))
        ->capture_default_str();
    command->add_option("--report", options->report, "folder for report.html, report.json and report.csv");
    command->final_callback([options, command_line] { bench(*options, command_line); });
}

}  // namespace aft::cli
