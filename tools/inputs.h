#pragma once

#include <aft/call.h>
#include <aft/safetensors.h>
#include <aft/tensor_view.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace aft::cli {

/// FILE:TENSOR
struct Place {
    std::string file, tensor;
};

/// The tensor's name is what follows the last ':' that isn't part of a folder's name. Throws UsageError.
Place place(const std::string &text, const std::string &default_tensor);

/// The options that say what the targets of a call see: FILE or FILE:TENSOR; empty where they aren't given.
struct SightOptions {
    std::string position_bias, lengths, mask;
    std::optional<double> bias_scale;
};

/// Targets n, sources m.
struct CallShape {
    std::int64_t batch = 0, targets = 0, sources = 0;
};

/// The tensors that the options of a call name. A tensor without a name in its option has that of the option: "mask"
/// for --mask. Each file is read once. The views hold as long as the object. All functions throw UsageError, or
/// WeightsError for a file that can't be read.
class Inputs {
public:
    explicit Inputs(bool time_major) : time_major_(time_major) {}

    /// Extents as stored.
    const std::vector<std::int64_t> &extents(const std::string &option, const std::string &text);
    /// The values of a tensor of float32, float16 and so on.
    const std::vector<float> &values(const std::string &option, const std::string &text);
    /// [B, T, C] of a tensor that lies as [T, C], [B, T, C] or, time-major, [T, B, C].
    TensorView<const float, 3> sequences(const std::string &option, const std::string &text);
    Sight sight(const SightOptions &options, const CallShape &shape);

private:
    const StoredTensor &tensor(const std::string &option, const std::string &text);
    TensorView<const std::int64_t, 1> lengths(const std::string &text, std::int64_t batch);
    TensorView<const bool, 3> mask(const std::string &text, const CallShape &shape);

    const bool time_major_;
    std::map<std::string, SafetensorsFile> files_;
    std::deque<std::vector<float>> values_;
    std::vector<std::int64_t> lengths_;
    std::unique_ptr<bool[]> mask_;
};

/// [B, T, C] of a tensor that lies as [T, C], [B, T, C] or, time-major, [T, B, C].
template<typename T>
TensorView<T, 3> sequences(T *data, const std::vector<std::int64_t> &extents, bool time_major) {
    const std::size_t rank = extents.size();
    const std::int64_t C = extents[rank - 1];
    if (rank == 3 && time_major) {
        const std::int64_t B = extents[1];
        return {data, {B, extents[0], C}, {C, B * C, 1}};
    }
    return {data, {rank == 3 ? extents[0] : 1, extents[rank - 2], C}};
}

}  // namespace aft::cli
