#include "commands.h"
#include "progress.h"
#include "shape.h"
#include "signals.h"
#include "streams.h"

#include "bench/comparison.h"
#include "bench/machine.h"
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
    std::string layer, profile, folder = AFT_TUNE_FOLDER;
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

std::string summary(const tune::ProfileEntry &entry) {
    const std::string what = fmt::format("{} {}, {} threads: ", name(entry.problem.config.form),
                                         bench::shape_name(entry.problem), entry.threads);
    if (!entry.tuned) {
        return what + fmt::format("packed stays, {:.4g} ms, after {} trials", entry.packed_ms, entry.trials);
    }
    return what + fmt::format("{}: {:.4g} ms, packed {:.4g} ms, ratio {:.3f} ({:.3f} to {:.3f}), after {} trials",
                              tune::describe(*entry.tuned), entry.tuned_ms, entry.packed_ms, entry.ratio,
                              entry.interval.low, entry.interval.high, entry.trials);
}

tune::ProfileEntry result_of(const tune::TuneOptions &search, const tune::KernelBuilder &builder) {
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
    const std::string cpu = bench::this_machine().cpu, isa = tune::isa_of(target);
    const std::filesystem::path file =
        options.profile.empty() ? "profiles/" + tune::slug(cpu, isa) + ".json" : options.profile;
    try {
        tune::read_profile(file, cpu, isa);
    } catch (const tune::ProfileError &error) {
        throw UsageError(error.what());
    }
    const tune::KernelBuilder builder(tune::toolchain_of_build(target), options.folder);
    if (file.has_parent_path()) {
        std::filesystem::create_directories(file.parent_path());  // minutes before it is written: better now than then
    }

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
        const tune::ProfileEntry entry = result_of(search, builder);
        show_progress("", false);
        print(summary(entry) + "\n");
        if (entry.tuned || interrupts == 0) {  // an early end says nothing against what the profile has
            tune::Profile profile = tune::read_profile(file, cpu, isa);
            tune::merge(profile, entry);
            tune::write_profile(file, profile);
        }
    }
    print(fmt::format("{}: configure with -DAFT_PROFILE={} to build it in\n", file.string(), file.string()));
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
    command->add_option("--profile", options->profile,
                        "file that the result is added to; default: profiles/<cpu>.json");
    command->add_option("--cache", options->folder,
                        "folder for the candidates and their results; default: tune/ in the build tree");
    command->final_callback([options] { tune(*options); });
}

}  // namespace aft::cli
