#include "halide/limits.h"
#include "layer/gradient_sum.h"
#include "layer/layer_call.h"
#include "layer/linear_training.h"
#include "layer/mean_training.h"
#include "layer/saved_results.h"
#include "layer/training_checks.h"
#include "threads/float_environment.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/training.h>

#include <algorithm>
#include <array>
#include <string>

namespace aft {
namespace {

/// The weights of a group's projections, one below the other, as one.
struct Projection {
    TensorView<const float, 2> weight;
    TensorView<const float, 1> bias;
};

template<typename Matrix, typename Vector>
struct Parts {
    std::array<Matrix, 3> weights;
    std::array<Vector, 3> biases;
};

Parts<TensorView<const float, 2>, TensorView<const float, 1>> parts_of(const LayerParameters &p) {
    return {{p.query_weight, p.key_weight, p.value_weight}, {p.query_bias, p.key_bias, p.value_bias}};
}
Parts<TensorView<float, 2>, TensorView<float, 1>> parts_of(const LayerGradients &g) {
    return {{g.query_weight, g.key_weight, g.value_weight}, {g.query_bias, g.key_bias, g.value_bias}};
}

Projection stacked(CallMemory &memory, const Group &group, const LayerParameters &parameters, std::int64_t projected) {
    const auto parts = parts_of(parameters);
    if (group.count == 1) {
        return {parts.weights[group.first], parts.biases[group.first]};
    }
    const std::int64_t inputs = group.x.extents[2], outputs = group.count * projected;
    const TensorView<float, 2> weight = memory.on_host<float, 2>("weight", {outputs, inputs});
    const TensorView<float, 1> bias = memory.on_host<float, 1>("bias", {outputs});
    std::fill_n(bias.data, outputs, 0.0f);
    for (int i = 0; i < group.count; ++i) {
        const auto &w = parts.weights[group.first + i];
        const auto &b = parts.biases[group.first + i];
        for (std::int64_t row = 0; row < projected; ++row) {
            std::copy_n(w.data + row * w.strides[0], inputs, weight.data + (i * projected + row) * inputs);
        }
        if (b.data) {
            std::copy_n(b.data, projected, bias.data + i * projected);
        }
    }
    return {weight, bias};
}

TensorView<const float, 2> transposed(const TensorView<const float, 2> &matrix) {
    return {matrix.data, {matrix.extents[1], matrix.extents[0]}, {matrix.strides[1], matrix.strides[0]}};
}

void clear(const LayerGradients &g) {
    for (const TensorView<float, 3> &each : {g.query, g.key, g.value, g.given_bias}) {
        clear(each);
    }
    for (const TensorView<float, 2> &each :
         {g.query_weight, g.key_weight, g.value_weight, g.project_weight, g.position_bias}) {
        clear(as_one_sample(each));
    }
    for (const TensorView<float, 1> &each : {g.query_bias, g.key_bias, g.value_bias, g.project_bias}) {
        std::fill_n(each.data, each.data ? each.extents[0] : 0, 0.0f);
    }
}

/// The gradients of some samples. Those of parameters stay.
LayerGradients part_of(LayerGradients gradients, std::int64_t first, std::int64_t count) {
    for (TensorView<float, 3> *each : {&gradients.query, &gradients.key, &gradients.value, &gradients.given_bias}) {
        *each = part_of(*each, first, count);
    }
    return gradients;
}

}  // namespace

struct LayerTraining::Implementation {
    LayerConfig config;
    MeanTraining mean;
    LinearTraining linear;
    const Device &device;
    mutable ScratchPool scratch;

    /// The targets that have a result: as many as the sources, where those are the same rows.
    static TensorView<const std::int64_t, 1> with_result(const LayerCall &call) {
        return is_given(call.key) ? TensorView<const std::int64_t, 1>() : call.sight.lengths;
    }

    /// dy without what rows without a result hold.
    static TensorView<const float, 3> clean(CallMemory &memory, const TensorView<const float, 3> &dy,
                                            const TensorView<const std::int64_t, 1> &lengths) {
        if (!lengths.data) {
            return dy;
        }
        const TensorView<float, 3> copy = memory.on_host<float, 3>("dy", dy.extents);
        for (std::int64_t b = 0; b < dy.extents[0]; ++b) {
            for (std::int64_t t = 0; t < lengths.data[b * lengths.strides[0]]; ++t) {
                std::copy_n(dy.data + b * dy.strides[0] + t * dy.strides[1], dy.extents[2],
                            copy.data + b * copy.strides[0] + t * copy.strides[1]);
            }
        }
        clear_rows_beyond(lengths, copy);
        return copy;
    }

    std::int64_t least_batch(const Sight &sight, std::int64_t targets) const {
        return std::max(mean.least_batch(sight, targets), linear.least_batch());
    }

    /// A part of a call. rest: the floats that the mean saves.
    void forward(const LayerParameters &parameters, const LayerCall &call, const CallShape &shape,
                 const TensorView<float, 3> &y, const Saved<float> &kept, std::int64_t rest) const;
    /// adds: gradients of parameters are added to those of the parts before.
    void backward(const LayerParameters &parameters, const LayerCall &call, const CallShape &shape,
                  const TensorView<const float, 3> &dy, const Saved<const float> &kept, std::int64_t rest,
                  const LayerGradients &gradients, bool adds) const;
};

void LayerTraining::Implementation::forward(const LayerParameters &parameters, const LayerCall &call,
                                            const CallShape &shape, const TensorView<float, 3> &y,
                                            const Saved<float> &kept, std::int64_t rest) const {
    const auto [B, n, m] = shape;
    const std::int64_t P = config.projected;
    CallMemory memory(nullptr, scratch);
    const Groups groups(call, config.form.has_query());
    for (const Group &group : groups) {
        if (group.x.extents[1] > 0) {
            const Projection projection = stacked(memory, group, parameters, P);
            linear.forward(memory, group.x, projection.weight, projection.bias, kept.of(&group - groups.begin()));
        }
    }
    mean.forward(memory, {parameters.position_bias}, {kept[query], kept[key], kept[value], call.sight}, shape,
                 kept.gated(), {kept.rest(), {rest}});
    if (parameters.project_weight.data) {
        linear.forward(memory, kept.gated(), parameters.project_weight, parameters.project_bias, y);
        return;
    }
    for (std::int64_t b = 0; b < B; ++b) {
        for (std::int64_t t = 0; t < n; ++t) {
            std::copy_n(kept.gated().data + (b * n + t) * P, P, y.data + b * y.strides[0] + t * y.strides[1]);
        }
    }
}

void LayerTraining::Implementation::backward(const LayerParameters &parameters, const LayerCall &call,
                                             const CallShape &shape, const TensorView<const float, 3> &dy,
                                             const Saved<const float> &kept, std::int64_t rest,
                                             const LayerGradients &gradients, bool adds) const {
    CallMemory memory(nullptr, scratch);
    const auto [B, n, m] = shape;
    const std::int64_t P = config.projected;
    const Groups groups(call, config.form.has_query());
    std::int64_t all_rows = 0;
    for (const Group &group : groups) {
        all_rows += group.count * group.x.extents[1];
    }
    const TensorView<float, 1> memory_of_d = memory.on_host<float, 1>("d", {B * (all_rows + n) * P});
    const Saved<float> d(memory_of_d.data, groups, B, n, P);

    const auto of_parts = parts_of(gradients);
    const std::array<TensorView<float, 3>, 3> of_inputs = {gradients.query, gradients.key, gradients.value};
    const auto is_input_wanted = [&](const Group &group) { return of_inputs[group.input].data != nullptr; };
    const auto are_weights_wanted = [&](const Group &group) {
        bool any = false;
        for (int i = group.first; i < group.first + group.count; ++i) {
            any = any || of_parts.weights[i].data || of_parts.biases[i].data;
        }
        return any;
    };

    const TensorView<const std::int64_t, 1> lengths = with_result(call);
    TensorView<const float, 3> of_gated = dy;
    if (parameters.project_weight.data) {
        const TensorView<const float, 3> of_y = clean(memory, dy, lengths);
        linear.forward(memory, of_y, transposed(parameters.project_weight), {}, d.gated());
        of_gated = d.gated();
        if (gradients.project_weight.data || gradients.project_bias.data) {
            const std::int64_t H = config.hidden;
            const TensorView<float, 2> weight = memory.on_host<float, 2>("dweight", {H, P});
            const TensorView<float, 1> bias = memory.on_host<float, 1>("dbias", {H});
            linear.gradients(memory, kept.gated(), of_y, weight.data, bias.data);
            store_rows(weight.data, gradients.project_weight, adds);
            store_rows(bias.data, gradients.project_bias, adds);
        }
    }
    CoreGradients of_mean;
    if (std::any_of(groups.begin(), groups.end(),
                    [&](const Group &group) { return is_input_wanted(group) || are_weights_wanted(group); })) {
        of_mean.query = config.form.has_query() ? d[query] : TensorView<float, 3>();
        of_mean.key = d[key];
        of_mean.value = d[value];
    }
    of_mean.given_bias = gradients.given_bias;
    of_mean.position_bias = gradients.position_bias;
    const CoreCall core{kept[query], kept[key], kept[value], call.sight};
    mean.backward(memory, {parameters.position_bias}, core, shape, of_gated, lengths, {kept.rest(), {rest}}, of_mean,
                  adds);

    if (groups.begin()->input != query) {  // without a gate, the query touches nothing
        clear(gradients.query);
    }
    for (const Group &group : groups) {
        const TensorView<float, 3> of_results = d.of(&group - groups.begin());
        const std::int64_t inputs = group.x.extents[2], outputs = of_results.extents[2];
        if (are_weights_wanted(group)) {
            const TensorView<float, 2> weight = memory.on_host<float, 2>("dweight", {outputs, inputs});
            const TensorView<float, 1> bias = memory.on_host<float, 1>("dbias", {outputs});
            if (group.x.extents[1] > 0) {
                linear.gradients(memory, group.x, of_results, weight.data, bias.data);
            } else {
                std::fill_n(weight.data, outputs * inputs, 0.0f);
                std::fill_n(bias.data, outputs, 0.0f);
            }
            for (int i = 0; i < group.count; ++i) {
                if (group.first + i == key) {  // it shifts all exponents of a channel alike: no mean depends on it
                    std::fill_n(bias.data + i * P, P, 0.0f);
                }
                store_rows(weight.data + i * P * inputs, of_parts.weights[group.first + i], adds);
                store_rows(bias.data + i * P, of_parts.biases[group.first + i], adds);
            }
        }
        if (is_input_wanted(group) && group.x.extents[1] > 0) {
            const Projection projection = stacked(memory, group, parameters, P);
            linear.forward(memory, of_results, transposed(projection.weight), {}, of_inputs[group.input]);
        }
    }
}

LayerTraining::LayerTraining(const LayerConfig &config, const LayerOptions &options) {
    const FloatEnvironment during;
    check_config(config);
    const LayerOptions on_cpu = training_options(config.form, options);
    const KernelRow *named = named_kernel(options);
    std::vector<Demand> demands = MeanTraining::demands(config, named);
    const std::size_t of_mean = demands.size();
    const std::int64_t smallest = std::min({config.hidden, config.projected, key_hidden(config), value_hidden(config)});
    for (const Demand &demand : LinearTraining::demands(smallest, smallest)) {
        demands.push_back(demand);
    }
    const Plan plan = select(demands, on_cpu).front();
    implementation_.reset(new Implementation{config,
                                             MeanTraining(config, named, plan),
                                             LinearTraining(plan[of_mean], plan[of_mean + 1], smallest, smallest),
                                             plan[0].device->info,
                                             {}});
}

LayerTraining::~LayerTraining() = default;
LayerTraining::LayerTraining(LayerTraining &&) noexcept = default;
LayerTraining &LayerTraining::operator=(LayerTraining &&) noexcept = default;

std::int64_t LayerTraining::saved_size(const LayerCall &call) const {
    const auto [B, n, H] = call.query.extents;
    std::int64_t rows = std::clamp<std::int64_t>(n, -1, max_elements);  // of the gated mean
    for (const Group &group : Groups(call, config().form.has_query())) {
        rows += group.count * std::clamp<std::int64_t>(group.x.extents[1], -1, max_elements);
    }
    return count_of_saved(B, rows, config().projected) + implementation_->mean.saved_size({B, n}, call.sight);
}

void LayerTraining::forward(const LayerParameters &parameters, const LayerCall &call, TensorView<float, 3> y,
                            TensorView<float, 1> saved) const {
    const Implementation &layer = *implementation_;
    const Composed::Call checked = check_training_call(layer.config, layer.device, parameters, call, "y", y);
    const auto [B, n, m] = checked.shape;
    check_saved(saved, saved_size(call));
    check_results(y, saved, parameters, checked, call.sight);
    if (B == 0 || n == 0) {
        return;
    }
    const Saved<float> kept(saved.data, Groups(call, config().form.has_query()), B, n, config().projected);
    const std::int64_t of_rest = layer.mean.saved_size({1, n}, call.sight);
    const CallShape &shape = checked.shape;
    in_parts(B, layer.least_batch(call.sight, n), [&](std::int64_t first, std::int64_t count) {
        layer.forward(parameters, part_of(call, first, count), {count, shape.targets, shape.sources},
                      part_of(y, first, count), kept.part(first, count, of_rest), of_rest * count);
    });
    clear_rows_beyond(layer.with_result(call), y);
}

void LayerTraining::backward(const LayerParameters &parameters, const LayerCall &call, TensorView<const float, 3> dy,
                             TensorView<const float, 1> saved, const LayerGradients &gradients) const {
    const Implementation &layer = *implementation_;
    const Composed::Call checked = check_training_call(layer.config, layer.device, parameters, call, "dy",
                                                       {const_cast<float *>(dy.data), dy.extents, dy.strides});
    const auto [B, n, m] = checked.shape;
    check_saved({const_cast<float *>(saved.data), saved.extents, saved.strides}, saved_size(call));
    check_gradients(layer.config, gradients, parameters, call, checked, dy, saved);
    if (B == 0 || n == 0) {
        clear(gradients);
        return;
    }

    const Saved<const float> kept(saved.data, Groups(call, config().form.has_query()), B, n, config().projected);
    const std::int64_t of_rest = layer.mean.saved_size({1, n}, call.sight);
    const CallShape &shape = checked.shape;
    in_parts(B, layer.least_batch(call.sight, n), [&](std::int64_t first, std::int64_t count) {
        layer.backward(parameters, part_of(call, first, count), {count, shape.targets, shape.sources},
                       part_of(dy, first, count), kept.part(first, count, of_rest), of_rest * count,
                       part_of(gradients, first, count), first > 0);
    });
}

const LayerConfig &LayerTraining::config() const {
    return implementation_->config;
}

std::size_t LayerTraining::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
