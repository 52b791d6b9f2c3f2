#include "inputs.h"

#include "commands.h"

#include <aft/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace aft::cli {

namespace {

/// "mask" for "--mask".
std::string tensor_of(const std::string &option) {
    std::string name = option.substr(2);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

std::string shape_text(const std::string &option, const std::string &text, const StoredTensor &tensor) {
    return fmt::format("{} {} is {} [{}]", option, text, tensor.dtype, fmt::join(tensor.extents, ", "));
}

/// A view [B, n, m] of a tensor [m], [n, m] or [B, n, m], time-major [n, m, B], where an extent of 1 stands for any.
/// Nothing if it is of another shape.
template<typename T>
std::optional<TensorView<T, 3>> pairs(T *data, const std::vector<std::int64_t> &extents, bool batch_is_last,
                                      const CallShape &shape) {
    using Extents = std::array<std::int64_t, 3>;
    const std::size_t rank = extents.size();
    if (rank < 1 || rank > 3) {
        return std::nullopt;
    }
    const bool is_last = rank == 3 && batch_is_last;
    const Extents stored = rank == 1   ? Extents{1, 1, extents[0]}
                           : rank == 2 ? Extents{1, extents[0], extents[1]}
                           : is_last   ? Extents{extents[2], extents[0], extents[1]}
                                       : Extents{extents[0], extents[1], extents[2]};
    const Extents wanted = {shape.batch, shape.targets, shape.sources};
    const auto &[B, n, m] = stored;
    Extents strides = is_last ? Extents{1, m * B, B} : Extents{n * m, m, 1};
    for (const std::size_t i : {0, 1}) {
        if (stored[i] == 1) {
            strides[i] = 0;
        } else if (stored[i] != wanted[i]) {
            return std::nullopt;
        }
    }
    if (m != wanted[2]) {
        return std::nullopt;
    }
    return TensorView<T, 3>{data, wanted, strides};
}

template<typename Integer>
std::vector<std::int64_t> integers(const std::vector<std::byte> &bytes) {
    std::vector<Integer> values(bytes.size() / sizeof(Integer));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(Integer));
    return {values.begin(), values.end()};
}

}  // namespace

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

const StoredTensor &Inputs::tensor(const std::string &option, const std::string &text) {
    const Place at = place(text, tensor_of(option));
    const auto known = files_.find(at.file);
    const SafetensorsFile &file =
        known != files_.end() ? known->second : files_.emplace(at.file, read_safetensors(at.file)).first->second;
    const auto found = file.tensors.find(at.tensor);
    if (found == file.tensors.end()) {
        throw UsageError(fmt::format("{} has no tensor '{}'", at.file, at.tensor));
    }
    return found->second;
}

const std::vector<std::int64_t> &Inputs::extents(const std::string &option, const std::string &text) {
    return tensor(option, text).extents;
}

const std::vector<float> &Inputs::values(const std::string &option, const std::string &text) {
    const StoredTensor &stored = tensor(option, text);
    try {
        return values_.emplace_back(stored.as_float());
    } catch (const WeightsError &error) {
        throw UsageError(fmt::format("{} {}: {}", option, text, error.what()));
    }
}

TensorView<const float, 3> Inputs::sequences(const std::string &option, const std::string &text) {
    const std::vector<std::int64_t> &stored = extents(option, text);
    if (stored.size() != 2 && stored.size() != 3) {
        throw UsageError(fmt::format("{} {} has {} dimensions, must have 2 or 3", option, text, stored.size()));
    }
    return cli::sequences(values(option, text).data(), stored, time_major_);
}

Sight Inputs::sight(const SightOptions &options, const CallShape &shape) {
    Sight sight;
    if (!options.position_bias.empty()) {
        const std::string option = "--position-bias";
        const StoredTensor &stored = tensor(option, options.position_bias);
        const auto view =
            pairs<const float>(values(option, options.position_bias).data(), stored.extents, false, shape);
        if (!view || stored.extents.size() < 2) {
            throw UsageError(fmt::format("{}, must be [n, m] or [B, n, m] with B = {}, n = {}, m = {}",
                                         shape_text(option, options.position_bias, stored), shape.batch, shape.targets,
                                         shape.sources));
        }
        sight.position_bias = *view;
    }
    if (options.bias_scale) {
        sight.bias_scale = static_cast<float>(*options.bias_scale);
    }
    if (!options.lengths.empty()) {
        sight.lengths = lengths(options.lengths, shape.batch);
    }
    if (!options.mask.empty()) {
        sight.mask = mask(options.mask, shape);
    }
    return sight;
}

TensorView<const std::int64_t, 1> Inputs::lengths(const std::string &text, std::int64_t batch) {
    const StoredTensor &stored = tensor("--lengths", text);
    if ((stored.dtype != "I64" && stored.dtype != "I32") || stored.extents != std::vector{batch}) {
        throw UsageError(
            fmt::format("{}, must be I64 or I32 [B] with B = {}", shape_text("--lengths", text, stored), batch));
    }
    lengths_ = stored.dtype == "I64" ? integers<std::int64_t>(stored.bytes) : integers<std::int32_t>(stored.bytes);
    return {lengths_.data(), {batch}};
}

TensorView<const bool, 3> Inputs::mask(const std::string &text, const CallShape &shape) {
    const StoredTensor &stored = tensor("--mask", text);
    mask_ = std::make_unique<bool[]>(stored.bytes.size());
    std::transform(stored.bytes.begin(), stored.bytes.end(), mask_.get(),
                   [](std::byte byte) { return byte != std::byte{0}; });
    const auto view = pairs<const bool>(mask_.get(), stored.extents, time_major_, shape);
    if (stored.dtype != "BOOL" || !view) {
        throw UsageError(fmt::format("{}, must be BOOL [m], [n, m] or {} with B = {}, n = {}, m = {}; n and B may be 1",
                                     shape_text("--mask", text, stored), time_major_ ? "[n, m, B]" : "[B, n, m]",
                                     shape.batch, shape.targets, shape.sources));
    }
    return *view;
}

}  // namespace aft::cli
