#pragma once

#include "inputs.h"

#include <aft/config.h>
#include <aft/weights.h>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aft::cli {

/// The arguments of `aft run`. Texts are empty where an option isn't given.
struct RunOptions {
    std::string model, layer, gate, output, kernel, device, storage;
    LoadOptions load;
    std::vector<std::string> map;
    std::string input, source, key_input, value_input;       // of a layer
    bool core = false;                                       // instead of a layer
    std::string query, key, value, decay, log_decay, bonus;  // of a core
    SightOptions sight;
    bool causal = false, time_major = false;
    std::optional<std::int64_t> window, threads, stream;
};

/// Adds them to the command. They must live as long.
void add_options(CLI::App &command, RunOptions &options);

/// The form of the layer or the core, with its gate where an option says it. Throws UsageError for options that don't
/// go together.
LayerForm form_of(const RunOptions &options);

/// Whether --position-bias may be a parameter of all pairs or, in another form, an input of the call.
bool may_take_bias(const LayerForm &form);

/// Each option with FILE or FILE:TENSOR that is given, and its text.
std::vector<std::pair<std::string, std::string>> tensors_of(const RunOptions &options);

}  // namespace aft::cli
