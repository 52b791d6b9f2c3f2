#include "commands.h"
#include "signals.h"
#include "streams.h"

#include "bench/failure.h"

#include <aft/aft.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace aft::cli {

namespace {

int complain(ExitCode code, const char *what) noexcept {
    try {
        std::string message = what;
        std::replace(message.begin(), message.end(), '\n', ' ');  // one line, whatever a file name holds
        say("aft: " + message + "\n");
    } catch (const std::exception &) {
        say("aft: out of memory\n");
    }
    return code;
}

std::string commands_of(CLI::App &app) {
    std::vector<std::string> names;
    for (const CLI::App *command : app.get_subcommands({})) {
        names.push_back(command->get_name());
    }
    return fmt::format("{}", fmt::join(names, ", "));
}

int run(int argc, char **argv) {
    std::vector<std::string_view> titles;
    for (const NamedForm &named : named_forms) {
        titles.push_back(named.title);
    }
    CLI::App app(fmt::format("Attention-free transformer layers ({}) as ahead-of-time compiled Halide kernels.",
                             fmt::join(titles, ", ")));
    app.allow_windows_style_options(false);  // a path may begin with a slash
    app.name("aft");
    app.set_version_flag("--version", "aft " AFT_VERSION);
    app.footer("\nExample:\n  aft run model.safetensors --layer full --input in.safetensors --output out.safetensors\n"
               "\nExit codes: 0 done, 1 failure, 2 wrong usage or bad input.");
    add_commands(app, fmt::format("aft {}", fmt::join(argv + std::min(argc, 1), argv + argc, " ")));
    try {
        app.parse(reversed_arguments(argc, argv));
        return app.get_subcommands().empty() ? complain(bad_input, ("a command is needed: " + commands_of(app)).c_str())
                                             : done;
    } catch (const CLI::ParseError &error) {
        if (error.get_exit_code() != 0) {
            return complain(bad_input, error.what());
        }
        std::ostringstream text;  // --help, --version
        app.exit(error, text, text);
        print(text.str());
        return done;
    }
}

int main(int argc, char **argv) {
    try {
        return run(argc, argv);
    } catch (const UsageError &error) {
        return complain(bad_input, error.what());
    } catch (const KernelError &error) {
        return complain(failure, error.what());
    } catch (const Error &error) {
        return complain(bad_input, error.what());
    } catch (const std::exception &error) {
        return complain(failure, bench::what_failed(error));
    }
}

}  // namespace

}  // namespace aft::cli

int main(int argc, char **argv) {
    aft::cli::open_closed_streams();
    aft::cli::make_utf8(argc, argv);
    aft::cli::remove_unfinished_files_on_signals();
    return aft::cli::close_streams(aft::cli::main(argc, argv));
}
