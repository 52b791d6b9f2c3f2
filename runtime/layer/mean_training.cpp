#include "layer/mean_training.h"

#include "layer/gradient_sum.h"
#include "layer/mean.h"
#include "layer/sight.h"
#include "layer/training_checks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace aft {

namespace {

bool has_bias(const LayerConfig &config) {
    return config.form.takes_bias() || config.form.has_positions();
}

/// Whether a window is so long for causal targets that all pairs, half of which they see, are less work.
bool is_wide(const LayerConfig &config, std::int64_t targets) {
    return config.form.is_causal() && 5 * std::int64_t{window_of(config)} > 2 * targets;
}

bool is_named(const LayerConfig &config, const KernelRow *named, Way way) {
    return named && named->layer == form_of(config, way);
}

/// The way of calls without a mask of pairs. Gradients have no scan: a causal target sees a band up to its own
/// position. A kernel for pairs serves every form.
Way usual_way(const LayerConfig &config, const KernelRow *named) {
    const Way way = aft::usual_way(config.form);
    if (is_named(config, named, Way::pairs)) {
        return Way::pairs;
    }
    if (way == Way::scan) {
        const bool is_long = !is_named(config, named, Way::band) && is_wide(config, config.max_seq_len);
        return is_long ? Way::pairs : Way::band;
    }
    return way;
}

/// Whether a mean saves something for its gradients.
bool has_saved(Way way) {
    return way != Way::shared;
}

std::vector<Demand> demands_of(const LayerConfig &config, Way way) {
    const LayerForm form = form_of(config, way);
    std::vector<Demand> result = {demand_of_mean(has_saved(way) ? "core_training" : "core", config, form),
                                  demand_of_mean("core_gradients", config, form)};
    if (has_bias(config)) {
        result.push_back(demand_of_mean("bias_gradients", config, form));
    }
    return result;
}

enum class Half { forward, backward, of_bias };

/// The operands of the smallest call.
std::vector<Operand> operands(const Candidate &candidate, const LayerConfig &config, Way way, Half half) {
    const MinimumExtents &minimum = candidate.kernel->info.minimum;
    const std::int64_t B = minimum.batch, n = minimum.seq, P = config.projected;
    const TensorView<float, 3> tensor(nullptr, {B, n, P});
    const TensorView<std::int32_t, 1> counts(nullptr, {B});
    std::vector<Operand> result = operands_of_sight({B, n, n}, way);
    result.insert(result.end(), {{"q", tensor}, {"k", tensor}, {"v", tensor}});
    if (half != Half::forward) {
        result.insert(result.end(), {{"dy", tensor}, {"targets", counts}});
        if (has_saved(way)) {
            result.emplace_back("saved", TensorView<float, 4>(nullptr, {4, B, n, P}));
        }
        if (half == Half::backward) {
            result.insert(result.end(), {{"dq", tensor}, {"d.0", tensor}, {"d.1", tensor}});
        } else {
            result.insert(result.end(), {{"first", counts}, {"dw", TensorView<float, 3>(nullptr, {B, n, n})}});
        }
    } else if (has_saved(way)) {
        result.insert(result.end(),
                      {{"y.0", tensor}, {"y.1", tensor}, {"y.2", tensor}, {"y.3", tensor}, {"y.4", tensor}});
    } else {
        result.emplace_back("y", tensor);
    }
    return result;
}

/// The numbers that are saved per target and channel, [4, B, n, P]. A target has its four rows side by side: so many
/// rows at equal offsets of a page would push each other out of a cache.
template<typename T>
TensorView<T, 4> rows_of_saved(const TensorView<T, 1> &saved, std::int64_t B, std::int64_t n, std::int64_t P) {
    return {saved.data, {4, B, n, P}, {P, 4 * n * P, 4 * P, 1}};
}

/// log W of a sum as core_training saves it: the largest exponent, as two floats at an eighth, and the sum of the
/// weights relative to it. Without a visible source, the sum is 0 or the exponent is below that of any finite floats.
float log_of(float high, float low, float sum) {
    constexpr float scale = 8, lowest_visible = -1e38f, largest = std::numeric_limits<float>::max();
    if (!(sum > 0) || high < lowest_visible) {
        return -std::numeric_limits<float>::infinity();
    }
    const double log = scale * (static_cast<double>(high) + low) + std::log(sum);
    return static_cast<float>(std::clamp<double>(log, -largest, largest));
}

Tensor zeros(CallMemory &memory, const char *name, const std::array<std::int64_t, 3> &extents) {
    return memory.constant(name, 0.0f, TensorView<const float, 3>(nullptr, extents, {0, 0, 1}));
}
/// Kernels need a row of sources, even where no sample has one.
Tensor sources_of(CallMemory &memory, const char *name, const TensorView<const float, 3> &rows) {
    return rows.extents[1] > 0 ? memory.input(name, rows) : zeros(memory, name, {rows.extents[0], 1, rows.extents[2]});
}

}  // namespace

TensorView<float, 3> as_one_sample(const TensorView<float, 2> &matrix) {
    return {matrix.data, {1, matrix.extents[0], matrix.extents[1]}, {0, matrix.strides[0], matrix.strides[1]}};
}

void clear(const TensorView<float, 3> &tensor) {
    const auto [B, rows, channels] = tensor.extents;
    for (std::int64_t b = 0; tensor.data && b < B; ++b) {
        for (std::int64_t row = 0; row < rows; ++row) {
            std::fill_n(tensor.data + b * tensor.strides[0] + row * tensor.strides[1], channels, 0.0f);
        }
    }
}

std::vector<Demand> MeanTraining::demands(const LayerConfig &config, const KernelRow *named) {
    return demands_of(config, usual_way(config, named));
}

MeanTraining::MeanTraining(const LayerConfig &config, const KernelRow *named, const std::vector<Selection> &plan)
    : config_(config), device_(plan[0].device), storage_(plan[0].storage), usual_(usual_way(config, named)),
      chooses_(!is_named(config, named, Way::band)), made_(std::make_unique<Made>()) {
    const std::size_t count = demands_of(config, usual_).size();
    made_->kernels[static_cast<std::size_t>(usual_)] = make({plan.begin(), plan.begin() + count}, usual_);
}

MeanTraining::~MeanTraining() = default;
MeanTraining::MeanTraining(MeanTraining &&) noexcept = default;
MeanTraining &MeanTraining::operator=(MeanTraining &&) noexcept = default;

std::int64_t MeanTraining::saved_size(const Shape &shape, const Sight &sight) const {
    return has_saved(way_of(sight, shape.seq)) ? count_of_saved(shape.batch, shape.seq, 4 * config_.projected) : 0;
}

void MeanTraining::forward(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call,
                           const CallShape &shape, const TensorView<float, 3> &y,
                           const TensorView<float, 1> &saved) const {
    const auto [B, n, m] = shape;
    const std::int64_t P = config_.projected;
    const Way way = way_of(call.sight, n);
    const PreparedSelection &kernels = kernels_for(way).forward;
    Operands operands = inputs(memory, parameters, call, shape, way);
    if (has_saved(way)) {
        operands.add("y.0", y);
        const TensorView<float, 4> rows = rows_of_saved(saved, B, n, P);
        for (std::int64_t i = 0; i < 4; ++i) {
            constexpr std::array<const char *, 4> names = {"y.1", "y.2", "y.3", "y.4"};
            const auto [number, batch, row, channel] = rows.strides;
            operands.add(names[i], TensorView<float, 3>(rows.data + i * number, {B, n, P}, {batch, row, channel}));
        }
    } else {
        operands.add("y", y);
    }
    kernels.kernel_for({B, n}).call(operands.begin(), operands.end(), memory);
}

void MeanTraining::partial(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call,
                           const CallShape &shape, const TensorView<float, 3> &mean,
                           const TensorView<float, 3> &log_weight) const {
    const std::int64_t B = shape.batch, P = config_.projected;
    const Way usual = way_of(call.sight, shape.targets);
    const bool differ = has_saved(usual);  // else the first target stands for all
    const Way way = differ ? usual : Way::pairs;
    const CallShape computed{B, differ ? shape.targets : 1, shape.sources};
    CoreCall without_query = call;
    without_query.query = {};
    without_query.sight.mask.extents[1] = computed.targets;
    const auto rows = [&](const TensorView<float, 3> &all) {
        return TensorView<float, 3>(all.data, {B, computed.targets, P}, all.strides);
    };
    const TensorView<float, 4> sums = memory.on_host<float, 4>("weights", {3, B, computed.targets, P});
    const auto part = [&](std::int64_t i) {
        return TensorView<float, 3>(sums.data + i * sums.strides[0], {B, computed.targets, P});
    };
    Operands operands = inputs(memory, parameters, without_query, computed, way);
    operands.add("y.0", rows(log_weight));  // the gated mean, which nobody wants
    operands.add("y.1", rows(mean));
    operands.add("y.2", part(0));
    operands.add("y.3", part(1));
    operands.add("y.4", part(2));
    kernels_for(way).forward.kernel_for({B, computed.targets}).call(operands.begin(), operands.end(), memory);

    for (std::int64_t b = 0; b < B; ++b) {
        const auto row_of = [b](const TensorView<float, 3> &tensor, std::int64_t target) {
            return tensor.data + b * tensor.strides[0] + target * tensor.strides[1];
        };
        for (std::int64_t i = 0; i < computed.targets; ++i) {
            const float *high = row_of(part(0), i), *low = row_of(part(1), i), *sum = row_of(part(2), i);
            float *logs = row_of(log_weight, i);
            for (std::int64_t c = 0; c < P; ++c) {
                logs[c] = log_of(high[c], low[c], sum[c]);
            }
        }
        for (std::int64_t i = computed.targets; i < shape.targets; ++i) {
            std::copy_n(row_of(mean, 0), P, row_of(mean, i));
            std::copy_n(row_of(log_weight, 0), P, row_of(log_weight, i));
        }
    }
}

void MeanTraining::backward(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call,
                            const CallShape &shape, const TensorView<const float, 3> &dy,
                            const TensorView<const std::int64_t, 1> &with_result,
                            const TensorView<const float, 1> &saved, const CoreGradients &gradients, bool adds) const {
    const auto [B, n, m] = shape;
    const std::int64_t P = config_.projected;
    const Way way = way_of(call.sight, n);
    const Kernels &kernels = kernels_for(way);
    Operands known = inputs(memory, parameters, call, shape, way);
    known.add("dy", dy);
    known.add("targets", counts_of(memory, "targets", with_result, B, n));
    if (has_saved(way)) {
        known.add("saved", rows_of_saved(saved, B, n, P));
    }
    if (gradients.query.data || gradients.key.data || gradients.value.data) {
        Operands operands = known;
        const auto output = [&](const char *operand, const TensorView<float, 3> &gradient, std::int64_t rows) {
            operands.add(operand,
                         gradient.data && gradient.extents[1] > 0
                             ? Tensor(gradient)
                             : memory.temporary<3>(operand, {shape.batch, std::max<std::int64_t>(rows, 1), P}));
        };
        output("dq", gradients.query, n);
        output("d.0", gradients.key, m);
        output("d.1", gradients.value, m);
        kernels.backward.kernel_for({B, n}).call(operands.begin(), operands.end(), memory);
    }
    if (gradients.given_bias.data || gradients.position_bias.data) {
        bias_gradient(*kernels.of_bias, memory, known, shape, gradients, adds);
    }
}

std::int64_t MeanTraining::least_batch(const Sight &sight, std::int64_t targets) const {
    const Kernels &kernels = kernels_for(way_of(sight, targets));
    return std::max({kernels.forward.least_batch(), kernels.backward.least_batch(),
                     kernels.of_bias ? kernels.of_bias->least_batch() : 1});
}

const KernelInfo &MeanTraining::gradient_kernel() const {
    return kernels_for(usual_).backward.info_for({});
}

Way MeanTraining::way_of(const Sight &sight, std::int64_t targets) const {
    const bool is_less_work = usual_ == Way::band && chooses_ && is_wide(config_, targets);
    return has_mask_of_pairs(sight) || is_less_work ? Way::pairs : usual_;
}

std::unique_ptr<const MeanTraining::Kernels> MeanTraining::make(const std::vector<Selection> &selected, Way way) const {
    KernelParameters parameters;
    parameters.scalars = {{"gate", static_cast<std::int32_t>(config_.form.gate)}};
    if (way == Way::band) {
        parameters.scalars.push_back({"window", window_of(config_)});
        parameters.scalars.push_back({"ahead", ahead_of(config_)});
    }
    const auto prepared = [&](const Selection &selection, Half half) {
        const auto largest = [=](const Candidate &candidate) { return operands(candidate, config_, way, half); };
        return PreparedSelection(selection, parameters, largest, nullptr);
    };
    std::unique_ptr<Kernels> made(
        new Kernels{prepared(selected[0], Half::forward), prepared(selected[1], Half::backward), nullptr});
    if (selected.size() > 2) {
        if (way != Way::band) {
            parameters.scalars.push_back({"window", window_of(config_)});
        }
        made->of_bias.reset(new PreparedSelection(prepared(selected[2], Half::of_bias)));
    }
    return made;
}

const MeanTraining::Kernels &MeanTraining::kernels_for(Way way) const {
    const std::lock_guard lock(made_->mutex);
    std::unique_ptr<const Kernels> &found = made_->kernels[static_cast<std::size_t>(way)];
    if (!found) {
        std::vector<Selection> selected;
        for (Demand demand : demands_of(config_, way)) {
            demand.storage = storage_;
            selected.push_back(select_on(*device_, demand));
        }
        found = make(selected, way);
    }
    return *found;
}

Tensor MeanTraining::bias_of(CallMemory &memory, const CoreParameters &parameters, const CallShape &shape,
                             const Sight &sight) const {
    if (config_.form.takes_bias() && shape.sources > 0) {
        return memory.send("position_bias", sight.position_bias);
    }
    if (!config_.form.has_positions() || shape.sources == 0) {
        return same_for_all_pairs(memory, "position_bias", 0.0f, shape);
    }
    TensorView<const float, 2> bias = parameters.position_bias;
    if (config_.form.has_window()) {
        const std::int64_t S = config_.max_seq_len;
        const TensorView<float, 2> within = memory.on_host<float, 2>("position_bias", {S, S});
        for (std::int64_t t = 0; t < S; ++t) {
            std::copy_n(bias.data + t * bias.strides[0], S, within.data + t * S);
        }
        clear_beyond_window(within.data, S, config_.window);
        bias = within;
    }
    return bias_of_positions(memory, bias, shape, first_position(shape));
}

MeanTraining::Operands MeanTraining::inputs(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call,
                                            const CallShape &shape, Way way) const {
    const auto [B, n, m] = shape;
    const std::int64_t P = config_.projected, rows = std::max<std::int64_t>(m, 1);
    Operands result;
    const bool has_query = config_.form.has_query() && call.query.data;
    result.add("q", has_query ? memory.input("query", call.query) : zeros(memory, "query", {B, n, P}));
    result.add("k", sources_of(memory, "key", call.key));
    result.add("v", sources_of(memory, "value", call.value));
    result.add("sources", counts_of(memory, "sources", call.sight.lengths, B, m));
    if (way == Way::pairs) {
        const std::int64_t offset = config_.form.is_causal() ? m - n : m;
        result.add("bias", bias_of(memory, parameters, shape, call.sight));
        result.add("bias_scale", same_for_all(memory, "bias_scale", call.sight.bias_scale, B));
        result.add("mask", mask_of_pairs(memory, call.sight.mask, shape));
        result.add("offset", same_for_all(memory, "offset", static_cast<std::int32_t>(offset), B));
    } else {
        const TensorView<const bool, 3> mask = m > 0 ? call.sight.mask : TensorView<const bool, 3>();
        result.add("mask", mask_of_sources(memory, mask, B, 0, rows));
        if (way == Way::band) {
            result.add("bias", bias_of_positions(memory, parameters.position_bias, shape));
        }
    }
    return result;
}

std::int64_t MeanTraining::first_position(const CallShape &shape) const {
    return config_.form.is_causal() ? shape.sources - shape.targets : 0;
}

void MeanTraining::bias_gradient(const PreparedSelection &kernels, CallMemory &memory, const Operands &inputs,
                                 const CallShape &shape, const CoreGradients &gradients, bool adds) const {
    const auto [B, n, m] = shape;
    const std::int64_t first = first_position(shape);
    Operands operands = inputs;
    operands.add("first", same_for_all(memory, "first", static_cast<std::int32_t>(first), B));
    const auto call = [&](const TensorView<float, 3> &dw) {
        operands.add("dw", dw);
        kernels.kernel_for({shape.batch, shape.targets}).call(operands.begin(), operands.end(), memory);
    };
    const auto of_all_samples = [&] {
        const TensorView<float, 2> pairs = memory.on_host<float, 2>("dw", {shape.targets, shape.sources});
        call({pairs.data, {1, shape.targets, shape.sources}});
        return pairs.data;
    };
    if (m == 0) {
        clear(adds ? TensorView<float, 3>() : as_one_sample(gradients.position_bias));
        return;
    }
    if (config_.form.takes_bias()) {
        TensorView<float, 3> dw = gradients.given_bias;
        const bool is_shared = dw.strides[0] == 0;
        if (is_shared && adds) {
            store_rows(of_all_samples(), TensorView<float, 2>(dw.data, {n, m}, {dw.strides[1], 1}), adds);
        } else {
            dw.extents[0] = is_shared ? 1 : B;
            call(dw);
        }
        return;
    }
    const TensorView<float, 3> all = as_one_sample(gradients.position_bias);
    const std::int64_t row = all.strides[1], begin = std::max<std::int64_t>(first, 0);
    if (!adds) {
        clear(all);
    }
    if (first >= 0 && !adds) {
        call({all.data + first * row, {1, n, m}, {0, row, 1}});
    } else if (first + n > 0) {  // targets before position 0 see nothing
        store_rows(of_all_samples() + (begin - first) * m,
                   TensorView<float, 2>(all.data + begin * row, {first + n - begin, m}, {row, 1}), adds);
    }
}

}  // namespace aft
