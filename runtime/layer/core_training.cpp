#include "kernels/prepared_selection.h"
#include "layer/checks.h"
#include "layer/exponentials.h"
#include "layer/mean.h"
#include "layer/sight.h"
#include "threads/float_environment.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/training.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <string>
#include <utility>

namespace aft {
namespace {

/// How the kernels see the sources of a call: with a bias, a mask and a limit for every pair, or all the same.
struct Kernels {
    PreparedSelection forward, backward;
};

LayerForm kernel_form(bool of_pairs) {
    const LayerForm no_bias{PositionBias::none};
    return of_pairs ? no_bias.with_given_bias() : no_bias;
}

std::vector<Demand> demands(const LayerConfig &config, bool of_pairs) {
    const LayerForm form = kernel_form(of_pairs);
    return {demand_of_mean(of_pairs ? "core_training" : "core", config, form),
            demand_of_mean("core_gradients", config, form)};
}

/// The operands of the smallest call.
std::vector<Operand> operands(const Candidate &candidate, const LayerConfig &config, bool of_pairs, bool of_gradients) {
    const MinimumExtents &minimum = candidate.kernel->info.minimum;
    const std::int64_t B = minimum.batch, n = minimum.seq, P = config.projected;
    const TensorView<float, 3> tensor(nullptr, {B, n, P});
    const TensorView<std::int32_t, 1> counts(nullptr, {B});
    std::vector<Operand> result = operands_of_sight({B, n, n}, of_pairs);
    result.insert(result.end(), {{"q", tensor}, {"k", tensor}, {"v", tensor}});
    if (of_gradients) {
        result.insert(result.end(),
                      {{"dy", tensor}, {"targets", counts}, {"dq", tensor}, {"d.0", tensor}, {"d.1", tensor}});
        if (of_pairs) {
            result.emplace_back("saved", TensorView<float, 4>(nullptr, {4, B, n, P}));
        }
    } else if (of_pairs) {
        result.insert(result.end(),
                      {{"y.0", tensor}, {"y.1", tensor}, {"y.2", tensor}, {"y.3", tensor}, {"y.4", tensor}});
    } else {
        result.emplace_back("y", tensor);
    }
    return result;
}

void check_saved(const TensorView<float, 1> &saved, std::int64_t size) {
    if (saved.extents[0] != size || (size > 0 && (!saved.data || saved.strides[0] != 1))) {
        throw ShapeError("saved is [" + std::to_string(saved.extents[0]) + "], must be [" + std::to_string(size) +
                         "], without gaps");
    }
}

/// All zeros.
void clear(const TensorView<float, 3> &tensor) {
    const auto [B, rows, channels] = tensor.extents;
    for (std::int64_t b = 0; b < B; ++b) {
        for (std::int64_t row = 0; row < rows; ++row) {
            std::fill_n(tensor.data + b * tensor.strides[0] + row * tensor.strides[1], channels, 0.0f);
        }
    }
}

/// The operands of a call; a call must not allocate.
class Operands {
public:
    void add(const char *name, const Tensor &tensor) {
        operands_[count_++] = {name, tensor};
    }
    const Operand *begin() const {
        return operands_.data();
    }
    const Operand *end() const {
        return begin() + count_;
    }

private:
    std::array<Operand, PreparedKernel::max_operands> operands_;
    std::size_t count_ = 0;
};

}  // namespace

struct CoreTraining::Implementation {
    LayerConfig config;
    const DriverDevice *device = nullptr;
    bool usually_of_pairs = false;
    mutable std::mutex mutex;
    mutable std::array<std::unique_ptr<const Kernels>, 2> kernels;  // by whether they are of pairs
    mutable ScratchPool scratch;

    bool of_pairs(const Sight &sight) const {
        return usually_of_pairs || has_mask_of_pairs(sight);
    }

    std::unique_ptr<const Kernels> make(const Selection &forward, const Selection &backward, bool of_pairs) const {
        KernelParameters parameters;
        parameters.scalars = {{"gate", static_cast<std::int32_t>(config.form.gate)}};
        const auto largest = [&](bool of_gradients) {
            return [=](const Candidate &candidate) { return operands(candidate, config, of_pairs, of_gradients); };
        };
        return std::unique_ptr<const Kernels>(
            new Kernels{PreparedSelection(forward, parameters, largest(false), nullptr),
                        PreparedSelection(backward, parameters, largest(true), nullptr)});
    }
    const Kernels &kernels_for(bool of_pairs) const {
        const std::lock_guard lock(mutex);
        std::unique_ptr<const Kernels> &found = kernels[of_pairs ? 1 : 0];
        if (!found) {
            const std::vector<Demand> wanted = demands(config, of_pairs);
            found = make(select_on(*device, wanted[0]), select_on(*device, wanted[1]), of_pairs);
        }
        return *found;
    }

    void check_parameters(const CoreParameters &parameters) const {
        const TensorView<const float, 2> &bias = parameters.position_bias;
        const std::int64_t S = config.max_seq_len;
        if (!config.form.has_positions()) {
            if (bias.data) {
                throw ShapeError("position_bias is given, but layer " + std::string(name(config.form)) +
                                 " has no such parameter");
            }
            return;
        }
        if (!bias.data || bias.extents[0] != S || bias.extents[1] != S || bias.strides[1] != 1 || bias.strides[0] < S) {
            throw ShapeError("position_bias: must be [" + std::to_string(S) + ", " + std::to_string(S) +
                             "], with rows that are dense");
        }
    }
    /// Checks all inputs of a call, and the extents of y, or of its gradient.
    CallShape check_inputs(const CoreParameters &parameters, const CoreCall &call, const char *name,
                           const TensorView<float, 3> &y) const {
        check_parameters(parameters);
        const CallShape shape = check_core_call(call, name, y, config, device->info);
        check_sight(call.sight, config.form, shape);
        return shape;
    }
    void check_gradients(const CoreGradients &gradients, const CoreParameters &parameters, const CoreCall &call,
                         const TensorView<const float, 3> &dy, const TensorView<const float, 1> &saved) const {
        struct Gradient {
            const char *name;
            const TensorView<float, 3> &tensor;
            const char *input_name;
            const TensorView<const float, 3> &input;
        };
        const std::array<Gradient, 3> all = {{{"dquery", gradients.query, "dy", dy},
                                              {"dkey", gradients.key, "key", call.key},
                                              {"dvalue", gradients.value, "value", call.value}}};
        for (const auto &[name, tensor, input_name, input] : all) {
            if (!tensor.data) {
                continue;
            }
            check_same_extents(name, tensor, input, input_name);
            check_tensor(name, tensor, {"projected", config.projected, longest_of(config)});
            check_apart(name, tensor, "dy", dy);
            check_apart(name, tensor, "saved", saved);
            check_apart(name, tensor, call);
            check_apart(name, tensor, "position_bias", parameters.position_bias);
            for (const Gradient &other : all) {
                if (&other.tensor != &tensor && other.tensor.data) {
                    check_apart(name, tensor, other.name, other.tensor);
                }
            }
        }
    }
    /// Whether the lengths are those of the targets as well.
    bool has_rows_of_sources(const CallShape &shape) const {
        return config.form.is_causal() && shape.targets == shape.sources;
    }

    /// w of every pair.
    Tensor bias_of(CallMemory &memory, const CoreParameters &parameters, const CallShape &shape,
                   const Sight &sight) const {
        if (config.form.takes_bias() && shape.sources > 0) {
            return memory.send("position_bias", sight.position_bias);
        }
        if (!config.form.has_positions() || shape.sources == 0) {
            return same_for_all_pairs(memory, "position_bias", 0.0f, shape);
        }
        TensorView<const float, 2> bias = parameters.position_bias;
        if (config.form.has_window()) {
            const std::int64_t S = config.max_seq_len;
            const TensorView<float, 2> within = memory.on_host<float, 2>("position_bias", {S, S});
            for (std::int64_t t = 0; t < S; ++t) {
                std::copy_n(bias.data + t * bias.strides[0], S, within.data + t * S);
            }
            clear_beyond_window(within.data, S, config.window);
            bias = within;
        }
        return bias_of_positions(memory, bias, shape, config.form.is_causal() ? shape.sources - shape.targets : 0);
    }

    /// Kernels need a row of sources, even where no sample has one.
    static Tensor sources(CallMemory &memory, const char *name, const TensorView<const float, 3> &rows) {
        return rows.extents[1] > 0 ? memory.input(name, rows)
                                   : zeros(memory, name, {rows.extents[0], 1, rows.extents[2]});
    }
    static Tensor zeros(CallMemory &memory, const char *name, const std::array<std::int64_t, 3> &extents) {
        return memory.constant(name, 0.0f, TensorView<const float, 3>(nullptr, extents, {0, 0, 1}));
    }
    Operands inputs(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call,
                    const CallShape &shape) const {
        const auto [B, n, m] = shape;
        const std::int64_t P = config.projected, rows = std::max<std::int64_t>(m, 1);
        Operands result;
        result.add("q",
                   config.form.has_query() ? memory.input("query", call.query) : zeros(memory, "query", {B, n, P}));
        result.add("k", sources(memory, "key", call.key));
        result.add("v", sources(memory, "value", call.value));
        result.add("sources", counts_of(memory, "sources", call.sight.lengths, B, m));
        if (of_pairs(call.sight)) {
            const std::int64_t offset = config.form.is_causal() ? m - n : m;
            result.add("bias", bias_of(memory, parameters, shape, call.sight));
            result.add("bias_scale", same_for_all(memory, "bias_scale", call.sight.bias_scale, B));
            result.add("mask", mask_of_pairs(memory, call.sight.mask, shape));
            result.add("offset", same_for_all(memory, "offset", static_cast<std::int32_t>(offset), B));
        } else {
            const TensorView<const bool, 3> mask = m > 0 ? call.sight.mask : TensorView<const bool, 3>();
            result.add("mask", mask_of_sources(memory, mask, B, 0, rows));
        }
        return result;
    }
};

CoreTraining::CoreTraining(const LayerConfig &config, const LayerOptions &options)
    : implementation_(std::make_unique<Implementation>()) {
    const FloatEnvironment during;
    check_core_config(config);
    if (config.form.varies_by_channel()) {
        throw ConfigError("layer " + std::string(name(config.form)) + " has no gradients: its bias varies by channel");
    }
    Implementation &training = *implementation_;
    training.config = config;
    const KernelRow *named = named_kernel(options);
    const bool needs_pairs = config.form.bias != PositionBias::none || config.form.is_causal();
    training.usually_of_pairs = needs_pairs || (named && named->layer == kernel_form(true));
    LayerOptions on_cpu = options;
    if (on_cpu.device.empty()) {
        on_cpu.device = "cpu";
    }
    const Plan plan = select(demands(config, training.usually_of_pairs), on_cpu).front();
    training.device = plan[0].device;
    training.kernels[training.usually_of_pairs ? 1 : 0] = training.make(plan[0], plan[1], training.usually_of_pairs);
}

CoreTraining::~CoreTraining() = default;
CoreTraining::CoreTraining(CoreTraining &&) noexcept = default;
CoreTraining &CoreTraining::operator=(CoreTraining &&) noexcept = default;

std::int64_t CoreTraining::saved_size(const Shape &shape, const Sight &sight) const {
    return implementation_->of_pairs(sight) ? 4 * shape.batch * shape.seq * config().projected : 0;
}

void CoreTraining::forward(const CoreParameters &parameters, const CoreCall &call, TensorView<float, 3> y,
                           TensorView<float, 1> saved) const {
    const Implementation &training = *implementation_;
    const CallShape shape = training.check_inputs(parameters, call, "y", y);
    const auto [B, n, m] = shape;
    const std::int64_t P = config().projected;
    check_saved(saved, saved_size({B, n}, call.sight));
    check_apart("saved", saved, "y", y);
    for (const auto &[name, output] : {std::pair<const char *, Tensor>("y", y), {"saved", saved}}) {
        check_apart(name, output, call);
        check_apart(name, output, "position_bias", parameters.position_bias);
    }
    if (B == 0 || n == 0) {
        return;
    }
    const bool of_pairs = training.of_pairs(call.sight);
    const PreparedSelection &kernels = training.kernels_for(of_pairs).forward;
    CallMemory memory(nullptr, training.scratch);
    Operands operands = training.inputs(memory, parameters, call, shape);
    if (of_pairs) {
        operands.add("y.0", y);
        for (std::int64_t i = 0; i < 4; ++i) {
            constexpr std::array<const char *, 4> names = {"y.1", "y.2", "y.3", "y.4"};
            operands.add(names[i], TensorView<float, 3>(saved.data + i * B * n * P, {B, n, P}));
        }
    } else {
        operands.add("y", y);
    }
    kernels.kernel_for({B, n}).call(operands.begin(), operands.end(), memory);
    if (training.has_rows_of_sources(shape)) {
        clear_rows_beyond(call.sight.lengths, y);
    }
}

void CoreTraining::backward(const CoreParameters &parameters, const CoreCall &call, TensorView<const float, 3> dy,
                            TensorView<const float, 1> saved, const CoreGradients &gradients) const {
    const Implementation &training = *implementation_;
    const std::int64_t P = config().projected;
    const CallShape shape =
        training.check_inputs(parameters, call, "dy", {const_cast<float *>(dy.data), dy.extents, dy.strides});
    const auto [B, n, m] = shape;
    check_saved({const_cast<float *>(saved.data), saved.extents, saved.strides}, saved_size({B, n}, call.sight));
    training.check_gradients(gradients, parameters, call, dy, saved);
    if (B == 0 || n == 0) {
        for (const TensorView<float, 3> &gradient : {gradients.query, gradients.key, gradients.value}) {
            clear(gradient);
        }
        return;
    }
    const bool of_pairs = training.of_pairs(call.sight);
    const PreparedSelection &kernels = training.kernels_for(of_pairs).backward;
    CallMemory memory(nullptr, training.scratch);
    Operands operands = training.inputs(memory, parameters, call, shape);
    operands.add("dy", dy);
    operands.add("targets", training.has_rows_of_sources(shape)
                                ? counts_of(memory, "targets", call.sight.lengths, B, n)
                                : same_for_all(memory, "targets", static_cast<std::int32_t>(n), B));
    if (of_pairs) {
        operands.add("saved", TensorView<const float, 4>(saved.data, {4, B, n, P}));
    }
    const auto output = [&](const char *operand, const TensorView<float, 3> &gradient, std::int64_t rows) {
        operands.add(operand, gradient.data && gradient.extents[1] > 0
                                  ? Tensor(gradient)
                                  : memory.temporary<3>(operand, {shape.batch, std::max<std::int64_t>(rows, 1), P}));
    };
    output("dq", gradients.query, n);
    output("d.0", gradients.key, m);
    output("d.1", gradients.value, m);
    kernels.kernel_for({B, n}).call(operands.begin(), operands.end(), memory);
}

const KernelInfo &CoreTraining::gradient_kernel() const {
    return implementation_->kernels_for(implementation_->usually_of_pairs).backward.info_for({});
}

const LayerConfig &CoreTraining::config() const {
    return implementation_->config;
}

std::size_t CoreTraining::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
