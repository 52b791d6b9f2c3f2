#include "training.h"
#include "training_slices.h"

#include "reference/gradients.h"

#include <aft/training.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace aft::bench {

namespace {

/// A step of a mean, or the part of it that is the problem's operation.
class MeanStep {
public:
    MeanStep(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
             const LayerOptions &options);

    void run();
    std::vector<float> compared(bool &all_finite);

private:
    const BenchmarkProblem problem_;
    const CoreTraining core_;
    CoreParameters parameters_;
    const CoreCall &call_;
    const std::vector<float> dy_;
    std::vector<float> y_, saved_, query_, key_, value_, position_bias_;
    CoreGradients gradients_;
    bool has_forward_, has_backward_;
};

MeanStep::MeanStep(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                   const LayerOptions &options)
    : problem_(problem), core_(problem.config, options), call_(call.core), dy_(gradient_of_result(problem)),
      y_(size_of(target_extents(problem))), has_forward_(is_part(problem, "core_training")),
      has_backward_(problem.operation != "core_training") {
    const std::array<std::int64_t, 3> of_bias = bias_extents(problem);
    saved_.resize(static_cast<std::size_t>(core_.saved_size(problem.shape, call_.sight)));
    if (problem.config.form.has_positions()) {
        parameters_.position_bias = {weights.position_bias.data(), {of_bias[1], of_bias[2]}};
    }
    if (is_part(problem, "core_gradients")) {
        for (std::vector<float> *each : {&query_, &key_, &value_}) {
            each->resize(size_of(each == &query_ ? target_extents(problem) : source_extents(problem)));
        }
        if (problem.config.form.has_query()) {
            gradients_.query = {query_.data(), target_extents(problem)};
        }
        gradients_.key = {key_.data(), source_extents(problem)};
        gradients_.value = {value_.data(), source_extents(problem)};
    }
    if (is_part(problem, "bias_gradients")) {
        position_bias_.resize(size_of(of_bias));
        if (problem.config.form.takes_bias()) {
            const auto [samples, rows, columns] = of_bias;
            gradients_.given_bias = {position_bias_.data(),
                                     {problem.shape.batch, rows, columns},
                                     {samples > 1 ? rows * columns : 0, columns, 1}};
        } else if (problem.config.form.has_positions()) {
            gradients_.position_bias = {position_bias_.data(), {of_bias[1], of_bias[2]}};
        }
    }
    core_.forward(parameters_, call_, {y_.data(), target_extents(problem)},
                  {saved_.data(), {static_cast<std::int64_t>(saved_.size())}});
}

void MeanStep::run() {
    const auto saved_size = static_cast<std::int64_t>(saved_.size());
    if (has_forward_) {
        core_.forward(parameters_, call_, {y_.data(), target_extents(problem_)}, {saved_.data(), {saved_size}});
    }
    if (has_backward_) {
        core_.backward(parameters_, call_, {dy_.data(), target_extents(problem_)}, {saved_.data(), {saved_size}},
                       gradients_);
    }
}

std::vector<float> MeanStep::compared(bool &all_finite) {
    std::vector<std::vector<float> *> results;
    if (has_forward_) {
        results.push_back(&y_);
    }
    for (std::vector<float> *gradient : {&query_, &key_, &value_, &position_bias_}) {
        results.push_back(gradient);
    }
    for (std::vector<float> *result : results) {
        std::fill(result->begin(), result->end(), std::numeric_limits<float>::quiet_NaN());
    }
    run();
    all_finite = true;
    std::vector<float> all;
    const auto take = [&](const std::vector<float> &result, const Slice &slice) {
        all_finite = all_finite && std::all_of(result.begin(), result.end(), [](float v) { return std::isfinite(v); });
        if (!result.empty()) {
            const std::vector<float> part = slice.copy(result);
            all.insert(all.end(), part.begin(), part.end());
        }
    };
    if (has_forward_) {
        take(y_, of_targets(problem_, target_extents(problem_)));
    }
    take(query_, of_targets(problem_, target_extents(problem_)));
    take(key_, of_channels(problem_, source_extents(problem_)));
    take(value_, of_channels(problem_, source_extents(problem_)));
    take(position_bias_, of_targets(problem_, bias_extents(problem_)));
    return all;
}

}  // namespace

Subject mean_in_training(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                         const LayerOptions &options) {
    return subject_of<MeanStep>(problem, weights, call, options);
}

Reference reference_of_mean_in_training(const BenchmarkProblem &problem, const Weights &weights,
                                        const CallTensors &call) {
    const std::vector<float> dy = gradient_of_result(problem);

    const Slice targets = of_targets(problem, target_extents(problem));
    CoreCall few_targets = call.core;
    few_targets.query = targets.of(call.query);
    TensorView<const float, 3> &bias = few_targets.sight.position_bias;
    if (bias.data) {
        bias.data += targets.first_row * bias.strides[1];
        bias.extents[1] = targets.rows;
    }
    Gradients by_target = reference_core_gradients(problem.config, weights, few_targets, targets.copy(dy));
    const std::array<std::int64_t, 3> of_bias = bias_extents(problem);
    if (!problem.config.form.takes_bias()) {
        const Slice rows = of_targets(problem, of_bias);
        by_target.position_bias = {rows.copy(by_target.position_bias.output),
                                   rows.copy(by_target.position_bias.tolerance)};
    } else if (of_bias[0] == 1) {
        by_target.position_bias = sum_of_samples(by_target.position_bias, problem.shape.batch);
    }

    const Slice channels = of_channels(problem, target_extents(problem)),
                of_sources = of_channels(problem, source_extents(problem));
    LayerConfig few = problem.config;
    few.projected = channels.channels;
    CoreCall few_channels = call.core;
    few_channels.query = channels.of(call.query);
    few_channels.key = of_sources.of(call.key);
    few_channels.value = of_sources.of(call.value);
    few_channels.sight.position_bias.extents[0] = few_channels.query.extents[0];
    few_channels.sight.position_bias.strides[0] *= channels.step;
    const Gradients by_channel = reference_core_gradients(few, weights, few_channels, channels.copy(dy));

    Reference all;
    if (is_part(problem, "core_training")) {
        append(reference_core(problem.config, weights, few_targets), all);
    }
    if (is_part(problem, "core_gradients")) {
        append(by_target.query, all);
        append(by_channel.key, all);
        append(by_channel.value, all);
    }
    if (is_part(problem, "bias_gradients")) {
        append(by_target.position_bias, all);
    }
    return all;
}

}  // namespace aft::bench
