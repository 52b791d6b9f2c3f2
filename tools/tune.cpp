#include "commands.h"
#include "progress.h"
#include "shape.h"
#include "signals.h"
#include "streams.h"

#include "bench/comparison.h"
#include "runtime/kernels/device.h"
#include "tune/tune.h"

#include <aft/aft.h>

#include <fmt/format.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

namespace aft::cli {

namespace {

struct TuneOptions {
    std::string layer, wisdom, folder = AFT_TUNE_FOLDER;
    std::vector<std::string> shapes;
    std::optional<std::int64_t> threads;
    std::optional<double> minutes;
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

void tune(const TuneOptions &options) {
    if (options.threads) {
        set_thread_count(static_cast<int>(*options.threads));
    }
    std::vector<Problem> problems;
    for (const std::string &shape : options.shapes) {
        problems.push_back(problem(shape, layer_form(options.layer)));
    }
    const std::string target = tune::target_of(tune::packed_row(problems.front()));
    const std::string cpu = device_named("cpu").info.name, isa = tune::isa_of(target);
    const std::filesystem::path file =
        options.wisdom.empty() ? "wisdom/" + tune::slug(cpu, isa) + ".json" : options.wisdom;
    const tune::WisdomFile wisdom(file, cpu, isa);  // minutes before it is written: better now than then
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
    print(fmt::format("{0}: programs load it by AFT_WISDOM={0}, builds take it by -DAFT_WISDOM={0}\n",
                      std::filesystem::absolute(file).string()));
}

}  // namespace

void add_tune(CLI::App &app) {
    CLI::App *command = app.add_subcommand("tune", "Search for faster kernels for your shapes on this machine");
    command->footer(
        "\nExample:\n  aft tune --layer full --shape 4,1024,512,512 --budget 5\n"
        "\nThe search needs the build tree that aft comes from, and its C++ compiler or the environment's CXX.\n"
        "Ctrl-C ends the search and keeps its result; the same command continues the search.");
    const auto options = std::make_shared<TuneOptions>();
    add_layer(*command, options->layer)->required();
    command->add_option("--shape", options->shapes, shape_help())->required();
    add_threads(*command, options->threads);
    add_number(*command, "--budget", options->minutes, 0.01, 10000.0,
               fmt::format("minutes of search for each shape, 0.01 to 10000; default: {}", default_minutes));
    command->add_option("--wisdom", options->wisdom,
                        "file that the result is added to, and its kernels beside it; default: wisdom/<cpu>.json");
    command->add_option("--cache", options->folder,
                        "folder for the candidates and their results; default: tune/ in the build tree");
    command->final_callback([options] { tune(*options); });
}

}  // namespace aft::cli
