#include "commands.h"
#include "progress.h"
#include "shape.h"
#include "signals.h"
#include "streams.h"

#include "bench/comparison.h"
#include "runtime/kernels/device.h"
#include "tune/compare_lengths.h"
#include "tune/tune.h"

#include <aft/aft.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <ratio>
#include <string>
#include <vector>

namespace aft::cli {

namespace {

struct TuneOptions {
    std::string layer, wisdom, folder = AFT_TUNE_FOLDER;
    std::vector<std::string> shapes;
    std::optional<std::int64_t> threads;
    std::optional<double> minutes;
    bool lengths = false;
};

constexpr double default_minutes = 5;

volatile std::sig_atomic_t interrupts = 0;

// The first Ctrl-C ends the search, the second one the program.
void on_interrupt(int) {
    interrupts = 1;
    on_signal(SIGINT, end_by);
}

std::string summary(const tune::SearchResult &result) {
    const std::string what = fmt::format("{} {}, {} threads: ", name(result.problem.config.form),
                                         bench::shape_name(result.problem), result.threads);
    if (!result.tuned) {
        return what + fmt::format("packed stays, {:.4g} ms, after {} trials", result.packed_ms, result.trials);
    }
    return what + fmt::format("{}: {:.4g} ms, packed {:.4g} ms, ratio {:.3f} ({:.3f} to {:.3f}), after {} trials",
                              tune::describe(*result.tuned), result.tuned_ms, result.packed_ms, result.ratio,
                              result.interval.low, result.interval.high, result.trials);
}

tune::SearchResult result_of(const tune::TuneOptions &search, const tune::KernelBuilder &builder) {
    try {
        return tune::tune(search, builder);
    } catch (const std::bad_alloc &) {
        throw std::runtime_error(fmt::format("out of memory for {}", bench::shape_name(search.problem)));
    }
}

// A shape's window is read for forms that have one.
LayerForm form_with_window() {
    return std::find_if(std::begin(named_forms), std::end(named_forms),
                        [](const NamedForm &named) { return named.form.has_window(); })
        ->form;
}

// Where the table's kernels change, and lengths around it, in a narrow, a usual and a wide layer.
std::vector<Problem> default_problems_of_lengths() {
    std::vector<Problem> problems;
    for (const std::int64_t seq : {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64}) {
        for (const std::int64_t width : {64, 192, 512}) {
            problems.push_back({{LayerForm(), width, width, seq, 32}, {1, seq}});
        }
    }
    return problems;
}

// "packed_single 1 to 2, packed from 3"
std::string text_of(const std::vector<tune::Choice> &choices, const tune::Family &family) {
    std::string text;
    for (std::size_t i = 0; i < choices.size(); ++i) {
        const std::int64_t from = choices[i].from;
        text +=
            fmt::format("{}{} {}", i == 0 ? "" : ", ", bench::schedule_name(family.kernels[choices[i].kernel]->info),
                        i + 1 == choices.size()           ? fmt::format("from {}", from)
                        : choices[i + 1].from == from + 1 ? fmt::format("{}", from)
                                                          : fmt::format("{} to {}", from, choices[i + 1].from - 1));
    }
    return text;
}

std::string summary(const tune::LengthResult &result) {
    std::string text = fmt::format("{}: {}\n", result.family.subject(), text_of(result.choices, result.family));
    for (const tune::LengthPoint &point : result.points) {
        text += fmt::format("  T{:<5} H{:<5}", point.problem.shape.seq, point.problem.config.projected);
        for (std::size_t i = 0; i < point.ratios.size(); ++i) {
            const std::string kernel = bench::schedule_name(result.family.kernels[i]->info);
            text += std::isfinite(point.ratios[i]) ? fmt::format("  {} {:.3f}", kernel, point.ratios[i])
                                                   : fmt::format("  {} wrong", kernel);
        }
        text += "\n";
    }
    return text;
}

void print_uses(const std::filesystem::path &file) {
    print(fmt::format("{0}: programs load it by AFT_WISDOM={0}, builds take it by -DAFT_WISDOM={0}\n",
                      std::filesystem::absolute(file).string()));
}

/// The file of results of this machine. Minutes before it is written: better now than then.
tune::WisdomFile wisdom_file(const std::filesystem::path &path, const std::string &target) {
    return {path, device_named("cpu").info.name, tune::isa_of(target)};
}

std::filesystem::path path_of_wisdom(const TuneOptions &options, const std::string &target) {
    return options.wisdom.empty()
               ? "wisdom/" + tune::slug(device_named("cpu").info.name, tune::isa_of(target)) + ".json"
               : options.wisdom;
}

void search_kernels(const TuneOptions &options) {
    std::vector<Problem> problems;
    for (const std::string &shape : options.shapes) {
        problems.push_back(problem(shape, layer_form(options.layer)));
    }
    const std::string target = tune::target_of(tune::packed_row(problems.front()));
    const std::filesystem::path file = path_of_wisdom(options, target);
    const tune::WisdomFile wisdom = wisdom_file(file, target);
    const tune::KernelBuilder builder(tune::toolchain_of_build(target), options.folder);

    on_signal(SIGINT, on_interrupt);
    for (const Problem &each : problems) {
        if (interrupts != 0) {
            break;
        }
        tune::TuneOptions search;
        search.problem = each;
        search.budget_seconds = options.minutes.value_or(default_minutes) * 60;
        search.folder = options.folder;
        search.progress = [](const std::string &line) { show_progress(line, false); };
        search.interrupted = [] { return interrupts != 0; };
        const tune::SearchResult result = result_of(search, builder);
        show_progress("", false);
        print(summary(result) + "\n");
        if (result.tuned || interrupts == 0) {  // an early end says nothing against what the file has
            wisdom.add(result);
        }
    }
    print_uses(file);
}

void compare_lengths(const TuneOptions &options) {
    std::optional<LayerForm> form;
    if (!options.layer.empty()) {
        form = layer_form(options.layer);
    }
    tune::LengthOptions comparison;
    for (const std::string &shape : options.shapes) {
        comparison.problems.push_back(problem(shape, form_with_window()));
    }
    if (options.shapes.empty()) {
        comparison.problems = default_problems_of_lengths();
    }
    const std::vector<tune::Family> families = tune::families(form);
    if (families.empty()) {
        throw UsageError(fmt::format("{} has no kernels for different lengths in this build",
                                     form ? "layer " + options.layer : std::string("no layer")));
    }
    const std::string target = families.front().kernels.front()->info.target;
    const std::filesystem::path file = path_of_wisdom(options, target);
    const tune::WisdomFile wisdom = wisdom_file(file, target);

    on_signal(SIGINT, on_interrupt);
    const auto start = std::chrono::steady_clock::now();
    comparison.progress = [](const std::string &line) { show_progress(line, false); };
    comparison.interrupted = [&] {
        const std::chrono::duration<double, std::ratio<60>> minutes = std::chrono::steady_clock::now() - start;
        return interrupts != 0 || (options.minutes && minutes.count() > *options.minutes);
    };
    for (const tune::Family &family : families) {
        const tune::LengthResult result = tune::compare_lengths(family, comparison);
        show_progress("", false);
        if (result.choices.empty()) {
            break;
        }
        print(summary(result));
        wisdom.add(result);
    }
    print_uses(file);
}

void tune(const TuneOptions &options) {
    if (!options.lengths && (options.layer.empty() || options.shapes.empty())) {
        throw UsageError(fmt::format("{} or --lengths is required", options.layer.empty() ? "--layer" : "--shape"));
    }
    if (options.threads) {
        set_thread_count(static_cast<int>(*options.threads));
    }
    options.lengths ? compare_lengths(options) : search_kernels(options);
}

}  // namespace

void add_tune(CLI::App &app) {
    CLI::App *command = app.add_subcommand("tune", "Search for faster kernels for your shapes on this machine");
    command->footer(
        "\nExamples:\n  aft tune --layer full --shape 4,1024,512,512 --budget 5\n  aft tune --lengths --threads 1\n"
        "\nThe search needs the build tree that aft comes from, and its C++ compiler or the environment's CXX.\n"
        "Ctrl-C ends the search and keeps its result; the same command continues the search.");
    const auto options = std::make_shared<TuneOptions>();
    add_layer(*command, options->layer);
    command->add_option("--shape", options->shapes, shape_help());
    command->add_flag("--lengths", options->lengths,
                      "search no kernels: find which of the library's own is the fastest at which length, for all "
                      "layers or that of --layer, at the T of each --shape; default: 17 lengths up to 64, 3 widths");
    add_threads(*command, options->threads);
    add_number(*command, "--budget", options->minutes, 0.01, 10000.0,
               fmt::format("minutes of search for each shape, or of all --lengths, 0.01 to 10000; default: {} for a "
                           "shape",
                           default_minutes));
    command->add_option("--wisdom", options->wisdom,
                        "file that the result is added to, and its kernels beside it; default: wisdom/<cpu>.json");
    command->add_option("--cache", options->folder,
                        "folder for the candidates and their results; default: tune/ in the build tree");
    command->final_callback([options] { tune(*options); });
}

}  // namespace aft::cli
