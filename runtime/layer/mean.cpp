#include "layer/mean.h"

#include "layer/parts.h"

#include <aft/error.h>

#include <algorithm>
#include <string_view>

namespace aft {

LayerForm form_of(const LayerConfig &config, Way way) {
    switch (way) {
        case Way::pairs: return {PositionBias::given};
        case Way::shared: return {PositionBias::none};
        case Way::band: return {PositionBias::banded};
        case Way::scan: break;
    }
    const bool is_sum =
        config.form.bias == PositionBias::none || (config.form.bias == PositionBias::banded && config.window == 0);
    return {is_sum ? PositionBias::decay : config.form.bias, Reach::past};
}

Way usual_way(const LayerForm &form) {
    if (form.has_sums()) {
        return Way::scan;
    }
    return form.bias == PositionBias::none ? Way::shared : form.has_window() ? Way::band : Way::pairs;
}

namespace {

Demand demand_of(const LayerConfig &config, Way way) {
    return demand_of_mean(way == Way::scan ? "scan" : "core", config, form_of(config, way));
}

/// A kernel for pairs serves every form that the pairs of a call can be told of, if the caller names it.
Way first_way(const LayerConfig &config, std::string_view operation, const std::optional<LayerForm> &form) {
    return !config.form.varies_by_channel() && operation == "core" && form == form_of(config, Way::pairs)
               ? Way::pairs
               : usual_way(config.form);
}

/// The same memory with other extents and strides.
template<std::size_t Rank>
Tensor with(Tensor tensor, const std::array<std::int64_t, Rank> &extents,
            const std::array<std::int64_t, Rank> &strides) {
    tensor.rank = Rank;
    std::copy(extents.begin(), extents.end(), tensor.extents.begin());
    std::copy(strides.begin(), strides.end(), tensor.strides.begin());
    return tensor;
}

std::vector<Operand> operands_of(const Candidate &candidate, const LayerConfig &config, Way way,
                                 std::int64_t rows_before) {
    const MinimumExtents &minimum = candidate.kernel->info.minimum;
    const std::int64_t B = minimum.batch, n = minimum.seq, P = config.projected, m = rows_before + n;
    const Tensor q = shape<3>(Element::float32, {B, n, P}), k = shape<3>(Element::float32, {B, m, P});
    const Tensor counts = shape<1>(Element::int32, {B}), sums = shape<3>(Element::float32, {B, 4, P});
    std::vector<Operand> result = {{"q", q}, {"k", k}, {"v", k}, {"y", q}};
    const auto add = [&](const char *name, const Tensor &tensor) { result.emplace_back(name, tensor); };
    switch (way) {
        case Way::pairs:
        case Way::shared:
        case Way::band: {
            const std::vector<Operand> of_sight = operands_of_sight({B, n, m}, way);
            result.insert(result.end(), of_sight.begin(), of_sight.end());
            break;
        }
        case Way::scan:
            add("mask", shape<2>(Element::uint8, {B, m}));
            add("rows", counts);
            add("state", sums);
            add("next_state", sums);
            if (form_of(config, way).bias == PositionBias::banded) {
                add("position", counts);
            }
    }
    return result;
}

}  // namespace

Demand Mean::demand(const LayerConfig &config, const KernelRow *named) {
    return demand_of(config, named ? first_way(config, named->operation, named->layer) : usual_way(config.form));
}

Mean::Mean(const LayerConfig &config, const Weights &weights, const Selection &selection, const DeviceContext *device)
    : config_(config), device_(*selection.device), storage_(selection.storage), context_(device),
      usual_(first_way(config, selection.candidates.front().kernel->row.operation,
                       selection.candidates.front().kernel->row.layer)),
      bias_(config.form.has_bias() ? weights.position_bias : std::vector<float>()),
      decay_(config.form.has_decay() ? weights.decay : std::vector<float>(config.projected)),
      bonus_(config.form.has_decay() ? weights.bonus : std::vector<float>(config.projected)),
      zeros_("query", {config.projected}, nullptr, device), is_named_(selection.is_named) {
    const std::int64_t S = config.max_seq_len;
    if (config.form.is_causal() && form_of(config, Way::scan).bias == PositionBias::banded) {
        const std::int64_t window = aft::rows_before(config) + 1;
        band_.assign(S * window, 0.0f);
        for (std::int64_t t = 0; t < S; ++t) {
            for (std::int64_t d = 0; d < window && d <= t; ++d) {
                band_[t * window + d] = bias_[t * S + t - d];
            }
        }
    }
    if (config.form.bias == PositionBias::banded) {
        clear_beyond_window(bias_.data(), S, config.window);
    }
    if (device && (usual_ == Way::pairs || usual_ == Way::band) && !bias_.empty()) {
        bias_on_device_.emplace("position_bias", std::vector<std::int64_t>{S, S}, bias_.data(), device);
    }
    selections_[static_cast<std::size_t>(usual_)] = make(usual_, selection);
}

std::unique_ptr<PreparedSelection> Mean::make(Way way, const Selection &selection) const {
    KernelParameters parameters;
    const std::int64_t P = config_.projected;
    parameters.scalars = {{"gate", static_cast<std::int32_t>(config_.form.gate)}};
    if (way == Way::band) {
        parameters.scalars.push_back({"window", window_of(config_)});
        parameters.scalars.push_back({"ahead", ahead_of(config_)});
    }
    if (way == Way::scan) {
        const std::int64_t window = aft::rows_before(config_) + 1;
        parameters.tensors = {{"decay", decay_.data(), {P}}, {"bonus", bonus_.data(), {P}}};
        if (config_.form.has_heads()) {
            parameters.tensors = {{"filter", bias_.data(), {config_.heads, config_.window}}};
        } else if (!band_.empty()) {
            parameters.tensors = {{"band", band_.data(), {config_.max_seq_len, window}}};
        }
    }
    const std::int64_t before = rows_before(way);
    return std::make_unique<PreparedSelection>(
        selection, parameters, [&](const Candidate &candidate) { return operands_of(candidate, config_, way, before); },
        context_);
}

const PreparedSelection &Mean::prepared(Way way) const {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<PreparedSelection> &selection = selections_[static_cast<std::size_t>(way)];
    if (!selection) {
        Demand demand = demand_of(config_, way);
        demand.storage = storage_;
        selection = make(way, select_on(device_, demand));
    }
    return *selection;
}

Way Mean::way_of(const Sight &sight) const {
    const Way way = has_mask_of_pairs(sight) ? Way::pairs : usual_;
    prepared(way);
    return way;
}

Way Mean::way_of_steps() const {
    return usual_way(config_.form);
}

void Mean::prepare_steps() const {
    prepared(way_of_steps());
    exponential_kernels();
}

std::int64_t Mean::rows_before(Way way) const {
    return way == Way::scan ? aft::rows_before(config_) : 0;
}

const KernelInfo &Mean::kernel_for(const Shape &shape) const {
    return made(usual_).info_for(shape);
}

Tensor Mean::query_or_zeros(const Tensor &query, std::int64_t batch, std::int64_t targets) const {
    return query.rank != 0 ? query : with<3>(zeros_.tensor(), {batch, targets, config_.projected}, {0, 0, 1});
}

/// w of every pair of a call, [B, n, m]. Target i is at position i, or, if it sees the past only, at i + m - n. A
/// target before position 0 sees nothing.
Tensor Mean::bias_of(CallMemory &memory, const CallShape &shape, const Sight &sight) const {
    const auto [B, n, sources] = shape;
    const std::int64_t S = config_.max_seq_len, m = std::max<std::int64_t>(sources, 1);
    const std::int64_t first = config_.form.is_causal() ? sources - n : 0;
    const PositionBias form = config_.form.bias;
    if (form == PositionBias::none || sources == 0) {
        return same_for_all_pairs(memory, "position_bias", 0.0f, shape);
    }
    if (form == PositionBias::given) {
        return memory.send("position_bias", sight.position_bias);
    }
    if (bias_on_device_ && first == 0) {
        return with<3>(bias_on_device_->tensor(), {B, n, m}, {0, S, 1});
    }
    return bias_of_positions(memory, {bias_.data(), {S, S}}, shape, first);
}

Tensor Mean::band_of(CallMemory &memory, const CallShape &shape) const {
    const std::int64_t S = config_.max_seq_len;
    if (bias_on_device_ && shape.sources > 0) {
        return with<2>(bias_on_device_->tensor(), {shape.targets, shape.sources}, {S, 1});
    }
    return bias_of_positions(memory, {bias_.data(), {S, S}}, shape);
}

void Mean::run_pairs(CallMemory &memory, const Call &call, const Tensor &bias, float scale, const Tensor &mask,
                     const Tensor &sources, std::int64_t offset) const {
    const std::int64_t B = call.shape.batch, n = call.shape.targets;
    const Operand q("q", query_or_zeros(call.query, B, n)), k("k", call.key), v("v", call.value), w("bias", bias),
        factor("bias_scale", same_for_all(memory, "bias_scale", scale, B)), visible("mask", mask),
        count("sources", sources), last("offset", same_for_all(memory, "offset", static_cast<std::int32_t>(offset), B)),
        y("y", call.y);
    if (call.exponentials && n <= ExponentialKernels::most_targets) {
        const std::array<Operand, 3> kept = call.exponentials->operands(call.first_sample, B);
        (*exponential_kernels_)
            ->kernel_for({B, n})
            .call({q, k, v, w, factor, visible, count, last, y, kept[0], kept[1], kept[2]}, memory);
        return;
    }
    made(Way::pairs).kernel_for({B, n}).call({q, k, v, w, factor, visible, count, last, y}, memory);
}

const ExponentialKernels *Mean::exponential_kernels() const {
    if (usual_ != Way::pairs || is_named_) {
        return nullptr;
    }
    const std::lock_guard lock(mutex_);
    if (!exponential_kernels_) {
        KernelParameters parameters;
        parameters.scalars = {{"gate", static_cast<std::int32_t>(config_.form.gate)}};
        exponential_kernels_ = ExponentialKernels::find(device_, config_, parameters, [&](const Candidate &candidate) {
            return operands_of(candidate, config_, Way::pairs, 0);
        });
    }
    return exponential_kernels_->get();
}

std::unique_ptr<const Exponentials> Mean::keep_exponentials(ScratchPool &scratch, const Tensor &key,
                                                            const Tensor &value) const {
    const ExponentialKernels *kernels = exponential_kernels();
    if (!kernels || !Exponentials::fit(key.extents[0], key.extents[1], key.extents[2])) {
        return nullptr;
    }
    auto result = std::make_unique<Exponentials>(key.extents[0], key.extents[1], key.extents[2]);
    in_parts(key.extents[0], 1, [&](std::int64_t first, std::int64_t count) {
        CallMemory memory(context_, scratch);
        kernels->make(memory, key.part(0, first, count), value.part(0, first, count), *result, first, 0);
    });
    return result;
}

void Mean::run_scan(CallMemory &memory, const Call &call, const Tensor &mask, const Tensor &rows,
                    const Tensor &positions, const Tensor &sums, const Tensor &next_sums) const {
    const std::int64_t B = call.shape.batch, n = call.shape.targets;
    const Operand q("q", query_or_zeros(call.query, B, n)), k("k", call.key), v("v", call.value), y("y", call.y);
    const Operand state("state", sums), next_state("next_state", next_sums);
    const PreparedKernel &kernel = made(Way::scan).kernel_for({B, n});
    if (form_of(config_, Way::scan).bias == PositionBias::banded) {
        kernel.call({q, k, v, {"mask", mask}, {"position", positions}, {"rows", rows}, state, y, next_state}, memory);
    } else {
        kernel.call({q, k, v, {"mask", mask}, {"rows", rows}, state, y, next_state}, memory);
    }
}

void Mean::forward(CallMemory &memory, Way way, const Call &call, const Sight &sight) const {
    const auto [B, n, m] = call.shape;
    const std::int64_t P = config_.projected, rows = std::max<std::int64_t>(m, 1);
    if (way == Way::pairs) {
        const Tensor mask = mask_of_pairs(memory, sight.mask, call.shape);
        const Tensor bias = bias_of(memory, call.shape, sight);
        run_pairs(memory, call, bias, sight.bias_scale, mask, counts_of(memory, "sources", sight.lengths, B, m),
                  config_.form.is_causal() ? m - n : m);
    } else if (way == Way::shared || way == Way::band) {
        const Operand q("q", query_or_zeros(call.query, B, n)), k("k", call.key), v("v", call.value), y("y", call.y),
            count("sources", counts_of(memory, "sources", sight.lengths, B, m)),
            mask("mask", mask_of_sources(memory, m > 0 ? sight.mask : TensorView<const bool, 3>(), B, 0, rows));
        const PreparedKernel &kernel = made(way).kernel_for({B, n});
        if (way == Way::band) {
            kernel.call({q, k, v, mask, count, {"bias", band_of(memory, call.shape)}, y}, memory);
        } else {
            kernel.call({q, k, v, mask, count, y}, memory);
        }
    } else {
        run_scan(memory, call, mask_of_sources(memory, sight.mask, B, rows_before(way), m),
                 counts_of(memory, "rows", sight.lengths, B, n), same_for_all<std::int32_t>(memory, "position", 0, B),
                 memory.constant("state", 0.0f, TensorView<const float, 3>(nullptr, {B, 4, P})),
                 memory.temporary<3>("next_state", {B, 4, P}));
    }
}

}  // namespace aft
