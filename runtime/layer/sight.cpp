#include "layer/sight.h"

#include <cstring>

namespace aft {

std::vector<Operand> operands_of_sight(const CallShape &call, Way way) {
    const auto [B, n, m] = call;
    const Tensor counts = shape<1>(Element::int32, {B});
    if (way != Way::pairs) {
        std::vector<Operand> result = {{"mask", shape<2>(Element::uint8, {B, m})}, {"sources", counts}};
        if (way == Way::band) {
            result.emplace_back("bias", shape<2>(Element::float32, {n, m}));
        }
        return result;
    }
    return {{"bias", shape<3>(Element::float32, {B, n, m})},
            {"bias_scale", shape<1>(Element::float32, {B})},
            {"mask", shape<3>(Element::uint8, {B, n, m})},
            {"sources", counts},
            {"offset", counts}};
}

Tensor counts_of(CallMemory &memory, const char *name, const TensorView<const std::int64_t, 1> &lengths,
                 std::int64_t batch, std::int64_t all) {
    if (!lengths.data) {
        return same_for_all(memory, name, static_cast<std::int32_t>(all), batch);
    }
    const TensorView<std::int32_t, 1> counts = memory.on_host<std::int32_t, 1>(name, {batch});
    for (std::int64_t b = 0; b < batch; ++b) {
        counts.data[b] = static_cast<std::int32_t>(lengths.data[b * lengths.strides[0]]);
    }
    return memory.send(name, TensorView<const std::int32_t, 1>(counts));
}

Tensor mask_of_sources(CallMemory &memory, const TensorView<const bool, 3> &mask, std::int64_t batch,
                       std::int64_t before, std::int64_t sources) {
    const std::int64_t width = before + sources;
    if (!mask.data && before == 0) {
        return memory.constant("mask", std::uint8_t{1},
                               TensorView<const std::uint8_t, 2>(nullptr, {batch, width}, {0, 1}));
    }
    const TensorView<std::uint8_t, 2> rows = memory.on_host<std::uint8_t, 2>("mask", {batch, width});
    for (std::int64_t b = 0; b < batch; ++b) {
        std::uint8_t *row = rows.data + b * width;
        std::memset(row, 0, before);
        for (std::int64_t j = 0; j < sources; ++j) {
            row[before + j] = !mask.data || mask.data[b * mask.strides[0] + j] ? 1 : 0;
        }
    }
    return memory.send("mask", TensorView<const std::uint8_t, 2>(rows));
}

Tensor mask_of_pairs(CallMemory &memory, const TensorView<const bool, 3> &mask, const CallShape &shape) {
    return mask.data && shape.sources > 0 ? memory.send("mask", mask)
                                          : same_for_all_pairs(memory, "mask", std::uint8_t{1}, shape);
}

Tensor bias_of_positions(CallMemory &memory, const TensorView<const float, 2> &bias, const CallShape &shape,
                         std::int64_t first) {
    const auto [B, n, m] = shape;
    const std::int64_t row = bias.strides[0];
    if (first >= 0) {
        return memory.send("position_bias",
                           TensorView<const float, 3>(bias.data + first * row, {B, n, m}, {0, row, 1}));
    }
    const TensorView<float, 2> pairs = memory.on_host<float, 2>("position_bias", {n, m});
    std::fill_n(pairs.data, n * m, 0.0f);
    for (std::int64_t i = -first; i < n; ++i) {
        std::copy_n(bias.data + (i + first) * row, m, pairs.data + i * m);
    }
    return memory.send("position_bias", TensorView<const float, 3>(pairs.data, {B, n, m}, {0, m, 1}));
}

Tensor bias_of_positions(CallMemory &memory, const TensorView<const float, 2> &bias, const CallShape &shape) {
    const std::int64_t n = shape.targets, m = shape.sources;
    if (m == 0 || !bias.data) {
        const std::int64_t columns = std::max<std::int64_t>(m, 1);
        return memory.constant("position_bias", 0.0f, TensorView<const float, 2>(nullptr, {n, columns}, {0, 1}));
    }
    return memory.send("position_bias", TensorView<const float, 2>(bias.data, {n, m}, {bias.strides[0], 1}));
}

namespace {
constexpr std::int64_t beyond_all = std::int64_t{1} << 29;  // no two positions are so far apart
}

std::int32_t window_of(const LayerConfig &config) {
    const std::int64_t without = config.form.bias == PositionBias::none ? 0 : beyond_all;
    return static_cast<std::int32_t>(config.form.has_window() ? std::min(config.window, beyond_all) : without);
}

std::int32_t ahead_of(const LayerConfig &config) {
    return static_cast<std::int32_t>(config.form.is_causal() ? 0 : beyond_all);
}

void clear_beyond_window(float *bias, std::int64_t max_seq_len, std::int64_t window) {
    for (std::int64_t t = 0; t < max_seq_len; ++t) {
        float *row = bias + t * max_seq_len;
        std::fill_n(row, std::max<std::int64_t>(t - window + 1, 0), 0.0f);
        std::fill(row + std::min(t + window, max_seq_len), row + max_seq_len, 0.0f);
    }
}

}  // namespace aft
