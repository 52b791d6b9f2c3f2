#include "layer/checks.h"
#include "layer/mean.h"
#include "layer/mean_training.h"
#include "layer/training_checks.h"
#include "threads/float_environment.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/training.h>

#include <array>
#include <limits>
#include <string>
#include <utility>

namespace aft {
struct CoreTraining::Implementation {
    MeanTraining mean;
    LayerConfig config;
    const Device &device;
    mutable ScratchPool scratch;

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
                           const TensorView<float, 3> &y, bool reads_query = true) const {
        check_parameters(parameters);
        LayerConfig read = config;
        read.form = reads_query ? config.form : config.form.without_gate();
        const CallShape shape = check_core_call(call, name, y, read, device);
        check_sight(call.sight, config.form, shape);
        return shape;
    }
    /// Two results of a call overlap neither each other nor what it reads.
    static void check_results(const CoreParameters &parameters, const CoreCall &call, const char *name,
                              const Tensor &result, const char *other_name, const Tensor &other) {
        check_apart(other_name, other, name, result);
        for (const auto &[output_name, output] : {std::pair(name, result), {other_name, other}}) {
            check_apart(output_name, output, call);
            check_apart(output_name, output, "position_bias", parameters.position_bias);
        }
    }
    void check_gradients(const CoreGradients &gradients, const CoreParameters &parameters, const CoreCall &call,
                         const TensorView<const float, 3> &dy, const TensorView<const float, 1> &saved) const {
        struct Gradient {
            const char *name;
            const TensorView<float, 3> &tensor;
            const char *input_name;
            const TensorView<const float, 3> &input;
        };
        const LayerForm &form = config.form;
        if (gradients.given_bias.data && !form.takes_bias()) {
            throw ShapeError("dgiven_bias is given, but layer " + std::string(name(form)) + " takes no bias");
        }
        if (gradients.position_bias.data && !form.has_positions()) {
            throw ShapeError("dposition_bias is given, but layer " + std::string(name(form)) +
                             " has no such parameter");
        }
        const auto [S, columns] = parameters.position_bias.extents;
        const TensorView<const float, 3> bias(parameters.position_bias.data, {1, S, columns});
        const TensorView<float, 3> of_bias = as_one_sample(gradients.position_bias);
        const std::array<Gradient, 5> all = {
            {{"dquery", gradients.query, "dy", dy},
             {"dkey", gradients.key, "key", call.key},
             {"dvalue", gradients.value, "value", call.value},
             {"dgiven_bias", gradients.given_bias, "position_bias", call.sight.position_bias},
             {"dposition_bias", of_bias, "position_bias", bias}}};
        for (const auto &[name, tensor, input_name, input] : all) {
            if (!tensor.data) {
                continue;
            }
            check_same_extents(name, tensor, input, input_name);
            const bool is_of_bias = &tensor == &gradients.given_bias || &tensor == &of_bias;
            check_tensor(name, tensor,
                         {is_of_bias ? "sources" : "projected", tensor.extents[2], longest_of(config), is_of_bias});
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
    /// The targets with a result: as many as the sources, where those are the same rows.
    TensorView<const std::int64_t, 1> with_result(const CoreCall &call, const CallShape &shape) const {
        return config.form.is_causal() && shape.targets == shape.sources ? call.sight.lengths
                                                                         : TensorView<const std::int64_t, 1>();
    }
};

CoreTraining::CoreTraining(const LayerConfig &config, const LayerOptions &options) {
    const FloatEnvironment during;
    check_core_config(config);
    const LayerOptions on_cpu = training_options(config.form, options);
    const KernelRow *named = named_kernel(options);
    const Plan plan = select(MeanTraining::demands(config, named), on_cpu).front();
    implementation_.reset(new Implementation{MeanTraining(config, named, plan), config, plan[0].device->info, {}});
}

CoreTraining::~CoreTraining() = default;
CoreTraining::CoreTraining(CoreTraining &&) noexcept = default;
CoreTraining &CoreTraining::operator=(CoreTraining &&) noexcept = default;

std::int64_t CoreTraining::saved_size(const Shape &shape, const Sight &sight) const {
    return implementation_->mean.saved_size(shape, sight);
}

void CoreTraining::forward(const CoreParameters &parameters, const CoreCall &call, TensorView<float, 3> y,
                           TensorView<float, 1> saved) const {
    const Implementation &training = *implementation_;
    const CallShape shape = training.check_inputs(parameters, call, "y", y);
    check_saved(saved, saved_size({shape.batch, shape.targets}, call.sight));
    Implementation::check_results(parameters, call, "y", y, "saved", saved);
    if (shape.batch == 0 || shape.targets == 0) {
        return;
    }
    in_parts(shape.batch, training.mean.least_batch(call.sight, shape.targets),
             [&](std::int64_t first, std::int64_t count) {
                 CallMemory memory(nullptr, training.scratch);
                 training.mean.forward(memory, parameters, part_of(call, first, count),
                                       {count, shape.targets, shape.sources}, part_of(y, first, count),
                                       part_of_saved(saved, shape.batch, first, count));
             });
    clear_rows_beyond(training.with_result(call, shape), y);
}

void CoreTraining::partial(const CoreParameters &parameters, const CoreCall &call, TensorView<float, 3> mean,
                           TensorView<float, 3> log_weight) const {
    const Implementation &training = *implementation_;
    CoreCall read = call;
    read.query = {};
    const CallShape shape = training.check_inputs(parameters, read, "mean", mean, false);
    check_tensor("log_weight", log_weight, {"projected", training.config.projected, longest_of(training.config)});
    check_same_extents("log_weight", log_weight, mean, "mean");
    Implementation::check_results(parameters, read, "mean", mean, "log_weight", log_weight);
    if (shape.batch == 0 || shape.targets == 0) {
        return;
    }
    const FloatEnvironment during;  // of the logarithms
    in_parts(shape.batch, training.mean.least_batch(call.sight, shape.targets),
             [&](std::int64_t first, std::int64_t count) {
                 CallMemory memory(nullptr, training.scratch);
                 training.mean.partial(memory, parameters, part_of(read, first, count),
                                       {count, shape.targets, shape.sources}, part_of(mean, first, count),
                                       part_of(log_weight, first, count));
             });
    const TensorView<const std::int64_t, 1> with_result = training.with_result(call, shape);
    clear_rows_beyond(with_result, mean);
    clear_rows_beyond(with_result, log_weight, -std::numeric_limits<float>::infinity());
}

void CoreTraining::backward(const CoreParameters &parameters, const CoreCall &call, TensorView<const float, 3> dy,
                            TensorView<const float, 1> saved, const CoreGradients &gradients) const {
    const Implementation &training = *implementation_;
    const CallShape shape =
        training.check_inputs(parameters, call, "dy", {const_cast<float *>(dy.data), dy.extents, dy.strides});
    check_saved({const_cast<float *>(saved.data), saved.extents, saved.strides},
                saved_size({shape.batch, shape.targets}, call.sight));
    training.check_gradients(gradients, parameters, call, dy, saved);
    if (shape.batch == 0 || shape.targets == 0) {
        for (const TensorView<float, 3> &gradient : {gradients.query, gradients.key, gradients.value,
                                                     gradients.given_bias, as_one_sample(gradients.position_bias)}) {
            clear(gradient);
        }
        return;
    }
    const TensorView<const std::int64_t, 1> with_result = training.with_result(call, shape);
    in_parts(shape.batch, training.mean.least_batch(call.sight, shape.targets),
             [&](std::int64_t first, std::int64_t count) {
                 CallMemory memory(nullptr, training.scratch);
                 training.mean.backward(memory, parameters, part_of(call, first, count),
                                        {count, shape.targets, shape.sources}, part_of(dy, first, count),
                                        part_of(with_result, first, count),
                                        part_of_saved(saved, shape.batch, first, count),
                                        part_of(gradients, first, count), first > 0);
             });
}

const KernelInfo &CoreTraining::gradient_kernel() const {
    return implementation_->mean.gradient_kernel();
}

const LayerConfig &CoreTraining::config() const {
    return implementation_->config;
}

std::size_t CoreTraining::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
