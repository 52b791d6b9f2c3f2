#include "commands.h"

namespace aft::cli {

// A build without the benchmark has no commands that measure.
void add_bench(CLI::App &, const std::string &) {}
void add_tune(CLI::App &) {}

}  // namespace aft::cli
