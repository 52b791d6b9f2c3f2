#include "commands.h"
#include "streams.h"

#include "files/input_file.h"
#include "weights/shard_index.h"

#include <aft/aft.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
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

struct RunOptions {
    std::string model, layer, input, output, kernel, device;
    LoadOptions load;
    std::vector<std::string> map;
    bool time_major = false;
    std::optional<std::int64_t> window, threads;
};

// FILE:TENSOR
struct Place {
    std::string file, tensor;
};

// The tensor's name is what follows the last ':' that isn't part of a folder's name. Throws UsageError.
Place place(const std::string &text, const std::string &default_tensor) {
    std::error_code ignored;
    const std::size_t colon = text.rfind(':'), slash = text.rfind('/');
    const bool in_folder =
        slash != std::string::npos && colon < slash && std::filesystem::is_directory(text.substr(0, slash), ignored);
    Place result = colon == std::string::npos || in_folder ? Place{text, default_tensor}
                                                           : Place{text.substr(0, colon), text.substr(colon + 1)};
    if (result.file.empty() || result.tensor.empty()) {
        throw UsageError(fmt::format("'{}' must be FILE or FILE:TENSOR", text));
    }
    return result;
}

const StoredTensor &input_tensor(const SafetensorsFile &file, const Place &input) {
    const auto found = file.tensors.find(input.tensor);
    if (found == file.tensors.end()) {
        throw UsageError(fmt::format("{} has no tensor '{}'", input.file, input.tensor));
    }
    const StoredTensor &tensor = found->second;
    if (tensor.extents.size() != 2 && tensor.extents.size() != 3) {
        throw UsageError(
            fmt::format("{}:{} has {} dimensions, must have 2 or 3", input.file, input.tensor, tensor.extents.size()));
    }
    return tensor;
}

std::vector<float> input_values(const StoredTensor &tensor, const Place &input) {
    try {
        return tensor.as_float();
    } catch (const WeightsError &error) {
        throw UsageError(fmt::format("{}:{}: {}", input.file, input.tensor, error.what()));
    }
}

// [B, T, H] of a tensor that lies as [T, H], [B, T, H] or, time-major, [T, B, H].
template<typename T>
TensorView<T, 3> sequences(T *data, const std::vector<std::int64_t> &extents, bool time_major) {
    const std::size_t rank = extents.size();
    const std::int64_t H = extents[rank - 1];
    if (rank == 3 && time_major) {
        const std::int64_t B = extents[1];
        return {data, {B, extents[0], H}, {H, B * H, 1}};
    }
    return {data, {rank == 3 ? extents[0] : 1, extents[rank - 2], H}};
}

// The config and the weights of the model.
std::pair<LayerConfig, Weights> load(const RunOptions &options, std::int64_t seq) {
    constexpr std::int64_t unknown = -1;
    LayerConfig config;
    config.form = layer_form(options.layer);
    config.window = unknown;
    config.max_seq_len = std::max<std::int64_t>(seq, 1);  // stays without a position bias, which limits it
    config = config_from_weights(options.model, config, options.load);
    if (config.form.has_window() && config.window == unknown && !options.window) {
        throw UsageError(fmt::format("--layer {} needs --window: {} doesn't say it", options.layer, options.model));
    }
    config.window = options.window.value_or(config.window);
    return {config, load_weights(options.model, config, options.load)};
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
    if (options.threads) {
        set_thread_count(static_cast<int>(*options.threads));
    }
    const Place input = place(options.input, "input"), output = place(options.output, "output");
    refuse_to_replace(input.file, output);
    for (const std::string &file : files_of(options.model)) {
        refuse_to_replace(file, output);
    }

    const SafetensorsFile file = read_safetensors(input.file);
    const StoredTensor &tensor = input_tensor(file, input);
    const std::vector<float> values = input_values(tensor, input);
    std::vector<float> result_values(values.size());
    const TensorView<const float, 3> x = sequences(values.data(), tensor.extents, options.time_major);
    const TensorView<float, 3> y = sequences(result_values.data(), tensor.extents, options.time_major);

    const auto [config, weights] = load(options, x.extents[1]);
    const Layer layer(config, weights, LayerOptions{options.kernel, options.device});
    layer.forward(x, y);

    SafetensorsFile result;
    result.tensors[output.tensor] = stored_tensor(tensor.extents, result_values);
    const bool to_standard_output = is_standard_output(output.file);
    try {
        write_safetensors(output.file, result);
    } catch (const Error &error) {
        throw std::runtime_error(error.what());  // the input was right: a failure of the system
    }
    const std::string message = fmt::format("{} wrote {}:{} [{}]\n", layer.kernel_for({x.extents[0], x.extents[1]}).id,
                                            output.file, output.tensor, fmt::join(tensor.extents, ", "));
    to_standard_output ? say(message) : print(message);
}

}  // namespace

void add_run(CLI::App &app) {
    CLI::App *command = app.add_subcommand("run", "Run a layer on a tensor, with the weights of a checkpoint");
    command->footer(
        "\nExample:\n  aft run model.safetensors --layer local --window 32 "
        "--input x.safetensors --output y.safetensors\n"
        "\nThe model's tensors have the names of aft-pytorch (to_q.weight, wbias), labml-nn (query.weight,\n"
        "pos_bias), featurebooster (query.weight, proj.weight), external-attention (fc_q.weight,\n"
        "position_biases) or those that --map gives, behind the prefix of their layer.\n"
        "Tensors are float32, float16, bfloat16, float64, F8_E4M3 or F8_E5M2; the output is float32.\n"
        "See docs/weights.md for the details.");
    const auto options = std::make_shared<RunOptions>();
    command
        ->add_option("model", options->model,
                     "safetensors file with the weights, or the index of its shards (model.safetensors.index.json)")
        ->required();
    add_layer(*command, options->layer)->required();
    add_number(*command, "--window", options->window, 0, std::numeric_limits<std::int64_t>::max(),
               "for layers with a window: the bias holds where |t - t'| < WINDOW; default: the window of the model's "
               "local_mask");
    command->add_option_function<std::string>(
        "--prefix", [options](const std::string &prefix) { options->load.prefix = prefix; },
        "start of the names of the layer's tensors, such as blocks.0.attn.; default: the model's only layer");
    command
        ->add_option("--naming", options->load.naming,
                     "the network whose names the tensors have; default: the one that fits")
        ->check(CLI::IsMember(namings()));
    command
        ->add_option(
            "--map", options->map,
            "PARAMETER=NAME: the model's name for a parameter, such as query=w_q; project= says that the model has "
            "none. Repeat it for several parameters")
        ->allow_extra_args(false);
    command->add_option("--input", options->input, "FILE or FILE:TENSOR of [T, H] or [B, T, H]; default tensor: input")
        ->required();
    command->add_flag("--time-major", options->time_major, "input and output are [T, B, H], as in labml-nn");
    command
        ->add_option("--output", options->output,
                     "FILE or FILE:TENSOR, written whole or not at all; default tensor: output")
        ->required();
    command->add_option("--kernel", options->kernel,
                        "id of the kernel to run (see aft kernels); default: the library chooses");
    command->add_option("--device", options->device,
                        "id or API of the device to run on (see aft devices); default: the library chooses");
    add_threads(*command, options->threads);
    command->final_callback([options] {
        if (options->window && !layer_form(options->layer).has_window()) {
            throw UsageError("--layer " + options->layer + " has no window: leave out --window");
        }
        options->load.names = names(options->map);
        try {
            run(*options);
        } catch (const std::bad_alloc &) {
            throw std::runtime_error(fmt::format("out of memory for {} on {}", options->model, options->input));
        }
    });
}

}  // namespace aft::cli
