#include "commands.h"

#include <aft/aft.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace aft::cli {

namespace {

struct RunOptions {
    std::string model, layer, input, output, kernel, device;
    std::int64_t window = 0;
    std::optional<int> threads;
};

// FILE:TENSOR
struct Place {
    std::string file, tensor;
};

// The tensor's name is what follows the last ':'. Throws UsageError.
Place place(const std::string &text, const std::string &default_tensor) {
    const std::size_t colon = text.rfind(':');
    Place result =
        colon == std::string::npos ? Place{text, default_tensor} : Place{text.substr(0, colon), text.substr(colon + 1)};
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
    if (tensor.dtype != "F32") {
        throw UsageError(fmt::format("{}:{} is {}, not F32", input.file, input.tensor, tensor.dtype));
    }
    if (tensor.extents.size() != 2 && tensor.extents.size() != 3) {
        throw UsageError(fmt::format("{}:{} has {} dimensions, not [T, H] or [B, T, H]", input.file, input.tensor,
                                     tensor.extents.size()));
    }
    return tensor;
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
        set_thread_count(*options.threads);
    }
    const Place input = place(options.input, "input"), output = place(options.output, "output");
    refuse_to_replace(options.model, output);
    refuse_to_replace(input.file, output);

    const SafetensorsFile file = read_safetensors(input.file);
    const StoredTensor &tensor = input_tensor(file, input);
    const std::size_t rank = tensor.extents.size();
    const TensorView<float, 3>::Extents extents{rank == 3 ? tensor.extents[0] : 1, tensor.extents[rank - 2],
                                                tensor.extents[rank - 1]};

    LayerConfig config;
    config.kind = layer_kind(options.layer);
    config.window = options.window;
    config.max_seq_len = extents[1];  // stays for AFTSimple, which has no limit of its own
    config = config_from_weights(options.model, config);
    const Layer layer(config, load_weights(options.model, config), LayerOptions{options.kernel, options.device});

    const std::vector<float> x = tensor.as_float();
    std::vector<float> y(x.size());
    layer.forward(TensorView<const float, 3>(x.data(), extents), TensorView<float, 3>(y.data(), extents));

    SafetensorsFile result;
    result.tensors[output.tensor] = stored_tensor(tensor.extents, y);
    try {
        write_safetensors(output.file, result);
    } catch (const Error &error) {
        throw std::runtime_error(error.what());  // the input was right: a failure of the system
    }
    fmt::print("{} wrote {}:{} [{}]\n", layer.kernel_for({extents[0], extents[1]}).id, output.file, output.tensor,
               fmt::join(tensor.extents, ", "));
}

}  // namespace

void add_run(CLI::App &app) {
    CLI::App *command = app.add_subcommand("run", "Run a layer on a tensor, with the weights of a checkpoint");
    command->footer("\nExample:\n  aft run model.safetensors --layer local --window 32 "
                    "--input x.safetensors --output y.safetensors\n"
                    "\nWeights have the names of aft-pytorch's state_dict: to_q.weight, to_q.bias, to_k.*, to_v.*,\n"
                    "project.* and wbias. All tensors are float32.");
    const auto options = std::make_shared<RunOptions>();
    command->add_option("model", options->model, "safetensors file with the weights")->required();
    command->add_option("--layer", options->layer, "full, simple or local")
        ->required()
        ->check(CLI::IsMember({"full", "simple", "local"}));
    CLI::Option *window =
        command->add_option("--window", options->window, "the bias holds where |t - t'| < WINDOW; local only");
    command->add_option("--input", options->input, "FILE or FILE:TENSOR, [T, H] or [B, T, H]; default tensor: input")
        ->required();
    command->add_option("--output", options->output, "FILE or FILE:TENSOR, written whole; default tensor: output")
        ->required();
    command->add_option("--kernel", options->kernel, "id of the kernel that must run (see aft kernels)");
    command->add_option("--device", options->device, "id or API of the device to run on (see aft devices)");
    command->add_option("--threads", options->threads, "default: every processor");
    command->final_callback([options, window] {
        if ((options->layer == "local") != (window->count() > 0)) {
            throw UsageError(options->layer == "local" ? "--layer local needs --window"
                                                       : "--window is for --layer local, not " + options->layer);
        }
        run(*options);
    });
}

}  // namespace aft::cli
