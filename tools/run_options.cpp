#include "run_options.h"

#include "commands.h"
#include "options.h"

#include "weights/gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

namespace aft::cli {

namespace {

struct TensorOption {
    std::string name;
    std::string &text;
    std::string description;
    enum Use { of_layer, of_core, of_both } use;
};

/// All that name an input.
std::vector<TensorOption> tensor_options(RunOptions &options) {
    return {
        {"--input", options.input, "of [T, H] or [B, T, H]: the input of the layer", TensorOption::of_layer},
        {"--source", options.source, "of [m, H'] or [B, m, H']: the input of keys and values; default: --input",
         TensorOption::of_layer},
        {"--key-input", options.key_input, "instead of --source: the input of keys", TensorOption::of_layer},
        {"--value-input", options.value_input, "and the input of values", TensorOption::of_layer},
        {"--query", options.query, "of [n, P] or [B, n, P]; left out, the core has no gate", TensorOption::of_core},
        {"--key", options.key, "of [m, P] or [B, m, P]", TensorOption::of_core},
        {"--value", options.value, "of [m, P] or [B, m, P]", TensorOption::of_core},
        {"--decay", options.decay, "of [P], of a layer with a decay", TensorOption::of_core},
        {"--log-decay", options.log_decay, "of [P], instead of --decay: its logarithm, the time_decay of RWKV-4",
         TensorOption::of_core},
        {"--bonus", options.bonus, "of [P], of a layer with a decay: the time_first of RWKV-4", TensorOption::of_core},
        {"--position-bias", options.sight.position_bias,
         "of [n, m] or [B, n, m]: the position bias of this call; full and simple become given. With --core also a "
         "parameter: [S, S] of full and local, [heads, window] of conv",
         TensorOption::of_both},
        {"--lengths", options.sight.lengths, "of I64 or I32 [B]: the length of each sequence", TensorOption::of_both},
        {"--mask", options.sight.mask,
         "of BOOL [m], [n, m] or [B, n, m], with --time-major [n, m, B], true where a target sees a source; n and B "
         "may "
         "be 1",
         TensorOption::of_both},
    };
}

std::vector<std::string> gate_names() {
    std::vector<std::string> names;
    for (const auto &named : named_gates) {
        names.emplace_back(named.name);
    }
    return names;
}

void refuse(bool wrong, const std::string &message) {
    if (wrong) {
        throw UsageError(message);
    }
}

/// The form that --layer, --causal and --position-bias name, with any gate.
LayerForm plain_form(const RunOptions &options) {
    LayerForm form = layer_form(options.layer);
    if (options.causal) {
        refuse(form.is_causal(), fmt::format("--layer {} is causal: leave out --causal", options.layer));
        form = form.causal();
    }
    const bool gets_bias = !options.sight.position_bias.empty();
    if (gets_bias && (form.bias == PositionBias::none || (may_take_bias(form) && !options.core))) {
        form = form.with_given_bias();
    }
    const bool takes_bias = form.takes_bias() || (options.core && form.has_bias());
    refuse(gets_bias && !takes_bias, fmt::format("--layer {} takes no --position-bias", options.layer));
    refuse(!gets_bias && takes_bias, fmt::format("--layer {} needs --position-bias", options.layer));
    return form;
}

void check_layer(const RunOptions &options) {
    refuse(options.model.empty(), "a model is needed, or --core");
    refuse(options.input.empty(), "--input is needed");
    refuse(options.key_input.empty() != options.value_input.empty(), "--key-input and --value-input go together");
    const bool is_cross = !options.source.empty() || !options.key_input.empty();
    refuse(options.stream && is_cross, "--stream has no --source: its keys and values are of --input");
}

void check_core(const RunOptions &options, const LayerForm &form) {
    refuse(options.key.empty() || options.value.empty(), "--core needs --key and --value");
    const bool needs_decay = form.has_decay();
    const bool has_decay = !options.decay.empty() || !options.log_decay.empty();
    refuse(needs_decay && (!has_decay || options.bonus.empty()),
           fmt::format("--layer {} needs --bonus, and --decay or --log-decay, with --core", options.layer));
    refuse(!needs_decay && (has_decay || !options.bonus.empty()),
           fmt::format("--layer {} has no decay and no bonus", options.layer));
    refuse(form.has_window() && !form.has_heads() && !options.window,
           fmt::format("--layer {} needs --window", options.layer));
    refuse(options.query.empty() && !options.gate.empty() && options.gate != "none",
           fmt::format("--gate {} needs --query", options.gate));
    refuse(!options.query.empty() && options.gate == "none", "--gate none has no --query");
}

}  // namespace

void add_options(CLI::App &command, RunOptions &options) {
    command.add_option("model", options.model,
                       "safetensors file with the weights, or the index of its shards (model.safetensors.index.json)");
    CLI::Option *const core =
        command.add_flag("--core", options.core,
                         "the weighted mean alone, without projections: needs no model, but --key and --value");
    core->excludes("model");
    add_layer(command, options.layer)->required();
    command.add_flag("--causal", options.causal, "a target sees the sources up to its own position only");
    command
        .add_option("--gate", options.gate,
                    "sigmoid, tanh, none or identity (the query itself); default: that of the model's network")
        ->check(CLI::IsMember(gate_names()));
    add_number(command, "--window", options.window, 0, std::numeric_limits<std::int64_t>::max(),
               "for layers with a window: the bias holds where |t - t'| < WINDOW; default: the window of the model's "
               "local_mask or filter");
    command
        .add_option_function<std::string>(
            "--prefix", [&options](const std::string &prefix) { options.load.prefix = prefix; },
            "start of the names of the layer's tensors, such as blocks.0.attn.; default: the model's only layer")
        ->excludes(core);
    command
        .add_option("--naming", options.load.naming,
                    "the network whose names the tensors have; default: the one that fits")
        ->check(CLI::IsMember(namings()))
        ->excludes(core);
    command
        .add_option(
            "--map", options.map,
            "PARAMETER=NAME: the model's name for a parameter, such as query=w_q; project= says that the model has "
            "none. Repeat it for several parameters")
        ->allow_extra_args(false)
        ->excludes(core);
    for (TensorOption &each : tensor_options(options)) {
        CLI::Option *const option = command.add_option(each.name, each.text, "FILE or FILE:TENSOR " + each.description);
        if (each.use == TensorOption::of_layer) {
            option->excludes(core);
        } else if (each.use == TensorOption::of_core) {
            option->needs(core);
        }
    }
    command.get_option("--source")
        ->excludes(command.get_option("--key-input"))
        ->excludes(command.get_option("--value-input"));
    command.get_option("--decay")->excludes(command.get_option("--log-decay"));
    add_number(command, "--bias-scale", options.sight.bias_scale, -std::numeric_limits<float>::max(),
               std::numeric_limits<float>::max(), "factor of --position-bias; default: 1");
    add_number(command, "--stream", options.stream, 1, std::numeric_limits<std::int64_t>::max(),
               "for causal layers: compute the sequences in pieces of so many positions, with a state");
    command.add_flag("--time-major", options.time_major, "sequences are [T, B, ...], as in labml-nn");
    command
        .add_option("--output", options.output,
                    "FILE or FILE:TENSOR, written whole or not at all; default tensor: output")
        ->required();
    command.add_option("--kernel", options.kernel,
                       "id of the kernel to run (see aft kernels); default: the library chooses");
    command.add_option("--device", options.device,
                       "id or API of the device to run on (see aft devices); default: the library chooses");
    command.add_option("--storage", options.storage,
                       "float32, or bfloat16 or int8 for kernels that keep it where there are any; default: float32");
    add_threads(command, options.threads);
}

bool may_take_bias(const LayerForm &form) {
    return form.has_positions() && !form.has_window();
}

LayerForm form_of(const RunOptions &options) {
    LayerForm form = plain_form(options);
    options.core ? check_core(options, form) : check_layer(options);
    const bool is_given = form.takes_bias();
    refuse(options.window && !form.has_window(),
           fmt::format("--layer {} has no window: leave out --window", options.layer));
    const bool may_be_given = is_given || (options.core && may_take_bias(form));
    refuse(options.sight.bias_scale && !may_be_given,
           "--bias-scale needs the --position-bias of a call: --layer full, simple or given");
    if (options.stream) {
        refuse(!form.is_causal(), fmt::format("--layer {} isn't causal, --stream needs a causal layer", options.layer));
        refuse(is_given || options.sight.bias_scale, "--stream needs a position bias of the layer's own");
        refuse(!options.sight.mask.empty(), "--stream has no --mask, but --lengths");
    }
    if (options.core && options.query.empty()) {
        form.gate = *gate_named("none");
    }
    form.gate = gate_named(options.gate).value_or(form.gate);
    return form;
}

std::vector<std::pair<std::string, std::string>> tensors_of(const RunOptions &options) {
    RunOptions copy = options;
    std::vector<std::pair<std::string, std::string>> given;
    for (const TensorOption &each : tensor_options(copy)) {
        if (!each.text.empty()) {
            given.emplace_back(each.name, each.text);
        }
    }
    return given;
}

}  // namespace aft::cli
