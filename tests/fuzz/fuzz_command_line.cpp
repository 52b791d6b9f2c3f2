// Any lines as the arguments of `aft`: they are parsed, or refused with a message. No command runs.
#include "memory_file.h"

#include "tools/commands.h"
#include "tools/shape.h"

#include <algorithm>
#include <sstream>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    std::vector<std::string> arguments;
    std::istringstream lines(std::string(reinterpret_cast<const char *>(data), size));
    for (std::string line; std::getline(lines, line);) {
        arguments.push_back(line);
    }
    for (const std::string &argument : arguments) {
        try {
            const aft::Problem problem = aft::cli::problem(argument, aft::aft_local);
            require(problem.shape.batch >= 1 && problem.shape.seq >= 1 && problem.config.window >= 0);
        } catch (const aft::cli::UsageError &) {}
    }
    CLI::App app;
    aft::cli::add_commands(app, "aft");
    app.parse_complete_callback([] { throw CLI::Success(); });  // before a command would run
    std::reverse(arguments.begin(), arguments.end());           // as CLI11 takes them
    try {
        app.parse(std::move(arguments));
    } catch (const CLI::ParseError &error) {
        require(*error.what() != '\0');
    }
    return 0;
}
