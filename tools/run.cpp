#include "commands.h"
#include "run_options.h"
#include "streams.h"

#include "files/input_file.h"
#include "weights/gates.h"
#include "weights/shard_index.h"
#include "weights/stored_layer.h"

#include <aft/aft.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace aft::cli {

namespace {

// The output tensor, and the kernel that computed it.
struct Result {
    std::vector<std::int64_t> extents;
    std::vector<float> values;
    std::string kernel;
};

// The config and the weights of the model.
std::pair<LayerConfig, Weights> load(const RunOptions &options, const LayerForm &form, const CallShape &shape) {
    constexpr std::int64_t unknown = -1;
    LayerConfig config;
    config.form = form;
    config.window = unknown;
    // Stays without a position bias, which limits it.
    config.max_seq_len = std::max<std::int64_t>({shape.targets, shape.sources, 1});
    config = config_from_weights(options.model, config, options.load);
    if (config.form.has_window() && config.window == unknown && !options.window) {
        throw UsageError(fmt::format("--layer {} needs --window: {} doesn't say it", options.layer, options.model));
    }
    config.window = options.window.value_or(config.window);
    return {config, load_weights(options.model, config, options.load)};
}

// The rows begin..begin + count of every sequence.
template<typename T>
TensorView<T, 3> rows(const TensorView<T, 3> &view, std::int64_t begin, std::int64_t count) {
    if (view.data == nullptr) {
        return view;
    }
    return {view.data + begin * view.strides[1], {view.extents[0], count, view.extents[2]}, view.strides};
}

// Says before the first piece what step() would say of a later one.
void check_lengths(TensorView<const std::int64_t, 1> lengths, std::int64_t n) {
    for (std::int64_t b = 0; lengths.data && b < lengths.extents[0]; ++b) {
        if (lengths.data[b] < 0 || lengths.data[b] > n) {
            throw UsageError(fmt::format("--lengths has {} at [{}], must be 0 to {}", lengths.data[b], b, n));
        }
    }
}

// Calls step(begin, count, lengths) for each piece of n positions. The lengths are those within the piece.
template<typename Step>
void in_pieces(std::int64_t n, std::int64_t piece, TensorView<const std::int64_t, 1> lengths, const Step &step) {
    check_lengths(lengths, n);
    for (std::int64_t begin = 0; begin < n; begin += std::min(piece, n - begin)) {
        const std::int64_t count = std::min(piece, n - begin);
        std::vector<std::int64_t> left;
        for (std::int64_t b = 0; lengths.data && b < lengths.extents[0]; ++b) {
            left.push_back(std::clamp<std::int64_t>(lengths.data[b] - begin, 0, count));
        }
        step(begin, count, lengths.data ? TensorView<const std::int64_t, 1>(left.data(), lengths.extents) : lengths);
    }
}

Result run_layer(const RunOptions &options, const LayerForm &form) {
    Inputs inputs(options.time_major);
    LayerCall call;
    call.query = inputs.sequences("--input", options.input);
    if (!options.source.empty()) {
        call.key = inputs.sequences("--source", options.source);
    } else if (!options.key_input.empty()) {
        call.key = inputs.sequences("--key-input", options.key_input);
        call.value = inputs.sequences("--value-input", options.value_input);
    }
    const bool is_cross = !options.source.empty() || !options.key_input.empty();
    const CallShape shape{call.query.extents[0], call.query.extents[1], (is_cross ? call.key : call.query).extents[1]};
    call.sight = inputs.sight(options.sight, shape);

    const auto [config, weights] = load(options, form, shape);
    const Layer layer(config, weights, LayerOptions{options.kernel, options.device, options.storage});
    Result result;
    result.extents = inputs.extents("--input", options.input);
    result.values.resize(shape.batch * shape.targets * call.query.extents[2]);
    const TensorView<float, 3> y = sequences(result.values.data(), result.extents, options.time_major);
    if (options.stream) {
        State state(config, shape.batch);
        in_pieces(shape.targets, *options.stream, call.sight.lengths,
                  [&](std::int64_t begin, std::int64_t count, TensorView<const std::int64_t, 1> lengths) {
                      layer.step(state, rows(call.query, begin, count), rows(y, begin, count), lengths);
                  });
    } else {
        layer.forward(call, y);
    }
    result.kernel = layer.kernel_for({shape.batch, shape.targets}).id;
    return result;
}

// The parameters of the position bias, and the members of the config that their shapes imply.
Weights core_weights(const RunOptions &options, Inputs &inputs, LayerConfig &config) {
    Weights weights;
    const auto vector = [&](const std::string &option, const std::string &text) {
        const std::vector<float> &values = inputs.values(option, text);
        if (inputs.extents(option, text) != std::vector{config.projected}) {
            throw UsageError(fmt::format("{} {} is [{}], must be [{}]", option, text,
                                         fmt::join(inputs.extents(option, text), ", "), config.projected));
        }
        return values;
    };
    if (config.form.has_bias()) {
        const std::vector<std::int64_t> extents = inputs.extents("--position-bias", options.sight.position_bias);
        const bool is_filter = config.form.has_heads();
        if (extents.size() != 2 || (!is_filter && extents[0] != extents[1])) {
            throw UsageError(fmt::format("--position-bias {} is [{}], must be {}", options.sight.position_bias,
                                         fmt::join(extents, ", "), is_filter ? "[heads, window]" : "[S, S]"));
        }
        weights.position_bias = inputs.values("--position-bias", options.sight.position_bias);
        config.heads = is_filter ? extents[0] : 1;
        config.window = is_filter ? extents[1] : config.window;
        config.max_seq_len = is_filter ? config.max_seq_len : extents[0];
    } else if (config.form.has_decay()) {
        weights.decay =
            options.decay.empty() ? vector("--log-decay", options.log_decay) : vector("--decay", options.decay);
        if (options.decay.empty()) {
            exponentiate(weights.decay);
        }
        weights.bonus = vector("--bonus", options.bonus);
    }
    return weights;
}

// The position bias of a full core is a parameter if it is [S, S], and an input of the call if it isn't.
bool is_given(const RunOptions &options, Inputs &inputs, const CallShape &shape) {
    const std::vector<std::int64_t> &extents = inputs.extents("--position-bias", options.sight.position_bias);
    return !options.stream && (options.sight.bias_scale || extents.size() != 2 || extents[0] != extents[1] ||
                               extents[0] < std::max(shape.targets, shape.sources));
}

Result run_core(const RunOptions &options, LayerForm form) {
    Inputs inputs(options.time_major);
    CoreCall call;
    call.key = inputs.sequences("--key", options.key);
    call.value = inputs.sequences("--value", options.value);
    CallShape shape{call.key.extents[0], call.key.extents[1], call.key.extents[1]};
    Result result;
    result.extents = inputs.extents("--key", options.key);
    if (!options.query.empty()) {
        call.query = inputs.sequences("--query", options.query);
        result.extents = inputs.extents("--query", options.query);
        shape.targets = call.query.extents[1];
    }
    SightOptions sight = options.sight;
    if (may_take_bias(form) && is_given(options, inputs, shape)) {
        form = form.with_given_bias();
    }
    LayerConfig config{form};
    config.projected = call.key.extents[2];
    config.max_seq_len = std::max<std::int64_t>({shape.targets, shape.sources, 1});
    config.window = options.window.value_or(0);
    const Weights weights = core_weights(options, inputs, config);
    if (!form.takes_bias()) {
        sight.position_bias.clear();
    }
    call.sight = inputs.sight(sight, shape);

    const Core core(config, weights, LayerOptions{options.kernel, options.device, options.storage});
    result.values.resize(shape.batch * shape.targets * config.projected);
    const TensorView<float, 3> y = sequences(result.values.data(), result.extents, options.time_major);
    if (options.stream) {
        State state(config, shape.batch);
        in_pieces(shape.targets, *options.stream, call.sight.lengths,
                  [&](std::int64_t begin, std::int64_t count, TensorView<const std::int64_t, 1> lengths) {
                      CoreCall piece{rows(call.query, begin, count), rows(call.key, begin, count),
                                     rows(call.value, begin, count)};
                      piece.sight.lengths = lengths;
                      core.step(state, piece, rows(y, begin, count));
                  });
    } else {
        core.forward(call, y);
    }
    result.kernel = core.kernel_for(shape.targets, shape.sources).id;
    return result;
}

// PARAMETER=NAME, ... Throws UsageError.
std::map<std::string, std::string> names(const std::vector<std::string> &map) {
    std::map<std::string, std::string> result;
    for (const std::string &entry : map) {
        const std::size_t equals = entry.find('=');
        if (equals == std::string::npos || !result.emplace(entry.substr(0, equals), entry.substr(equals + 1)).second) {
            throw UsageError(fmt::format("--map {} must be PARAMETER=NAME, each parameter once", entry));
        }
    }
    return result;
}

// A model's file, and those that it lists if it is an index of shards.
std::set<std::string> files_of(const std::string &model) {
    return with_path(model, [&] {
        std::set<std::string> files = {model};
        const InputFile file(model);
        if (is_json(file)) {
            for (const auto &[tensor, shard] : parse_index(file.text(0, file.bytes())).shards) {
                files.insert((std::filesystem::path(model).parent_path() / shard).string());
            }
        }
        return files;
    });
}

// The output file is replaced whole, so what else a file holds would be lost.
void refuse_to_replace(const std::string &file, const Place &output) {
    std::error_code ignored;  // a file that isn't there yet is not the same
    if (std::filesystem::equivalent(file, output.file, ignored)) {
        throw UsageError(fmt::format("--output would replace {}, which is read", file));
    }
}

void run(const RunOptions &options) {
    const LayerForm form = form_of(options);
    if (options.threads) {
        set_thread_count(static_cast<int>(*options.threads));
    }
    const Place output = place(options.output, "output");
    for (const auto &[option, text] : tensors_of(options)) {
        refuse_to_replace(place(text, "tensor").file, output);
    }
    if (!options.core) {
        for (const std::string &file : files_of(options.model)) {
            refuse_to_replace(file, output);
        }
    }

    const Result result = options.core ? run_core(options, form) : run_layer(options, form);
    SafetensorsFile file;
    file.tensors[output.tensor] = stored_tensor(result.extents, result.values);
    const bool to_standard_output = is_standard_output(output.file);
    try {
        write_safetensors(output.file, file);
    } catch (const Error &error) {
        throw std::runtime_error(error.what());  // the input was right: a failure of the system
    }
    const std::string message = fmt::format("{} wrote {}:{} [{}]\n", result.kernel, output.file, output.tensor,
                                            fmt::join(result.extents, ", "));
    to_standard_output ? say(message) : print(message);
}

}  // namespace

void add_run(CLI::App &app) {
    CLI::App *command = app.add_subcommand("run", "Run a layer on a tensor, with the weights of a checkpoint");
    command->footer(
        "\nExamples:\n  aft run model.safetensors --layer local --window 32 "
        "--input x.safetensors --output y.safetensors\n"
        "  aft run model.safetensors --layer simple --causal --stream 64 --input x.safetensors --output y.safetensors\n"
        "  aft run --core --layer given --query t:q --key t:k --value t:v --position-bias t:w --output y.safetensors\n"
        "\nThe model's tensors have the names of aft-pytorch (to_q.weight, wbias), labml-nn (query.weight,\n"
        "pos_bias), featurebooster or liftfeat (query.weight, proj.weight), external-attention (fc_q.weight,\n"
        "position_biases), rwkv-4 (receptance.weight, time_decay) or those that --map gives, behind the prefix\n"
        "of their layer. Tensors are float32, float16, bfloat16, float64, F8_E4M3 or F8_E5M2; the output is\n"
        "float32. A tensor without a name in its option has that of the option: key_input of --key-input.\n"
        "With --time-major, [B, T, C] is [T, B, C]. See docs/weights.md for the details.");
    const auto options = std::make_shared<RunOptions>();
    add_options(*command, *options);
    command->final_callback([options] {
        options->load.names = names(options->map);
        if (const auto gate = gate_named(options->gate)) {
            options->load.gate = gate;
        }
        try {
            run(*options);
        } catch (const std::bad_alloc &) {
            throw std::runtime_error(fmt::format("out of memory for {} on {}",
                                                 options->core ? "the core" : options->model,
                                                 options->core ? options->key : options->input));
        }
    });
}

}  // namespace aft::cli
