#pragma once

#include "reference/problem.h"
#include "reference/random.h"

#include <aft/aft.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace aft {

inline CoreParameters parameters_of(const Problem &problem, const Weights &weights) {
    const std::int64_t S = problem.config.max_seq_len;
    CoreParameters parameters;
    if (problem.config.form.has_positions()) {
        parameters.position_bias = {weights.position_bias.data(), {S, S}};
    }
    return parameters;
}

inline std::size_t size_of(const TensorView<const float, 3> &view) {
    return static_cast<std::size_t>(view.extents[0] * view.extents[1] * view.extents[2]);
}

inline std::array<std::int64_t, 3> targets_of(const Problem &problem) {
    return {problem.shape.batch, problem.shape.seq, problem.config.projected};
}

/// dL/dy in one row after the other. Rows without a result are NaN, which nothing may read.
inline std::vector<float> gradient_of_result(const Problem &problem, const CallTensors &call) {
    const auto [B, n, P] = targets_of(problem);
    std::vector<float> dy = Random(problem.seed + 1000).normals(static_cast<std::size_t>(B * n * P), 1);
    const TensorView<const std::int64_t, 1> &lengths = call.core.sight.lengths;
    if (problem.config.form.is_causal() && lengths.data && call.core.key.extents[1] == n) {
        for (std::int64_t b = 0; b < B; ++b) {
            std::fill(dy.begin() + (b * n + lengths.data[b]) * P, dy.begin() + (b + 1) * n * P,
                      std::numeric_limits<float>::quiet_NaN());
        }
    }
    return dy;
}

struct Step {
    std::vector<float> y, query, key, value, position_bias;
};

/// The position bias of the parameters, or of the call: summed over the samples where they share it.
inline std::array<std::int64_t, 3> bias_extents(const Problem &problem, const CallTensors &call) {
    if (problem.config.form.takes_bias()) {
        const auto [B, n, m] = call.core.sight.position_bias.extents;
        return {problem.bias_per_sample ? B : 1, n, m};
    }
    const std::int64_t S = problem.config.form.has_positions() ? problem.config.max_seq_len : 0;
    return {1, S, S};
}

/// The tensors of a step, whose results are NaN before.
struct StepTensors {
    CallTensors call;
    std::vector<float> dy, saved;
    Step results;
    CoreGradients gradients;
};

inline StepTensors tensors_of(const Problem &problem, std::int64_t saved_size) {
    CallTensors call = make_call(problem);
    const std::array<std::int64_t, 3> targets = targets_of(problem);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::size_t size = static_cast<std::size_t>(targets[0] * targets[1] * targets[2]);
    const bool has_query = problem.config.form.has_query();
    const auto [parameters_of_bias, rows, columns] = bias_extents(problem, call);
    Step step{std::vector<float>(size, nan), std::vector<float>(has_query ? size : 0, nan),
              std::vector<float>(size_of(call.core.key), nan), std::vector<float>(size_of(call.core.key), nan),
              std::vector<float>(static_cast<std::size_t>(parameters_of_bias * rows * columns), nan)};
    CoreGradients gradients;
    if (has_query) {
        gradients.query = {step.query.data(), targets};
    }
    gradients.key = {step.key.data(), call.core.key.extents};
    gradients.value = {step.value.data(), call.core.key.extents};
    if (problem.config.form.takes_bias()) {
        gradients.given_bias = {step.position_bias.data(),
                                call.core.sight.position_bias.extents,
                                {problem.bias_per_sample ? rows * columns : 0, columns, 1}};
    } else if (problem.config.form.has_positions()) {
        gradients.position_bias = {step.position_bias.data(), {rows, columns}};
    }
    std::vector<float> dy = gradient_of_result(problem, call);
    return {std::move(call), std::move(dy), std::vector<float>(static_cast<std::size_t>(saved_size), nan),
            std::move(step), gradients};
}

inline Step step_of(const CoreTraining &training, const Problem &problem, const Weights &weights) {
    const CoreParameters parameters = parameters_of(problem, weights);
    const std::array<std::int64_t, 3> targets = targets_of(problem);
    const std::int64_t saved_size = training.saved_size(problem.shape, make_call(problem).core.sight);
    StepTensors tensors = tensors_of(problem, saved_size);
    const CoreCall &call = tensors.call.core;
    training.forward(parameters, call, {tensors.results.y.data(), targets}, {tensors.saved.data(), {saved_size}});
    training.backward(parameters, call, {tensors.dy.data(), targets}, {tensors.saved.data(), {saved_size}},
                      tensors.gradients);
    return tensors.results;
}
inline Step step_of(const CoreTraining &training, const Problem &problem) {
    return step_of(training, problem, make_weights(problem));
}

/// Problems of every form with gradients, without the projections.
inline std::vector<Problem> training_problems() {
    std::vector<Problem> problems;
    for (const std::vector<Problem> &some : {core_problems(), scan_problems()}) {
        for (const Problem &problem : some) {
            if (problem.config.hidden == 0 && !problem.config.form.varies_by_channel() && problem.piece == 0) {
                problems.push_back(problem);
            }
        }
    }
    return problems;
}

/// Whether a kernel of training computes a problem when it is named.
inline bool serves(const KernelInfo &kernel, const Problem &problem) {
    const bool of_pairs = kernel.layer->takes_bias();
    const LayerForm &form = problem.config.form;
    const MinimumExtents &m = kernel.minimum;
    const bool has_bias = form.takes_bias() || form.has_positions(),
               is_of_form = form.bias == kernel.layer->bias && !form.is_causal(),
               is_of_past = kernel.layer->has_window() && is_running(form);  // AFTSimple: without a window
    return (has_bias || kernel.operation != "bias_gradients") &&
           (of_pairs || ((is_of_form || is_of_past) && problem.mask <= Mask::sources)) &&
           std::min(problem.shape.seq, source_count(problem)) >= m.seq && problem.shape.batch >= m.batch &&
           problem.config.projected >= m.projected && (of_pairs || problem.config.window >= m.window);
}

}  // namespace aft
