#pragma once

#include "reference/problem.h"
#include "reference/random.h"
#include "reference/trained.h"

#include <aft/aft.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace aft {

inline constexpr float not_written = std::numeric_limits<float>::quiet_NaN();

/// One step of training: the output, and the gradients by the names of Gradients.
struct LayerStep {
    std::vector<float> y;
    std::map<std::string, std::vector<float>> gradients;
};

/// Rows without a result are NaN, which nothing may read.
inline std::vector<float> gradient_of_result(const Problem &problem, const LayerCall &call) {
    const auto [B, n, H] = call.query.extents;
    std::vector<float> dy = Random(problem.seed + 1000).normals(static_cast<std::size_t>(B * n * H), 1);
    for (std::int64_t b = 0; call.sight.lengths.data && !call.key.data && b < B; ++b) {
        std::fill(dy.begin() + (b * n + call.sight.lengths.data[b]) * H, dy.begin() + (b + 1) * n * H, not_written);
    }
    return dy;
}

/// The tensors of a step, whose results are NaN before.
struct LayerStepTensors {
    CallTensors call;
    LayerParameters parameters;
    std::vector<float> dy, saved;
    LayerStep results;
    LayerGradients gradients;

    LayerStepTensors(const Problem &problem, const Weights &weights)
        : call(make_call(problem)), parameters(parameters_of(problem.config, weights)),
          dy(gradient_of_result(problem, call.layer)) {
        const LayerCall &inputs = call.layer;
        results.y.assign(dy.size(), not_written);
        add("query", inputs.query, gradients.query);
        add("key", inputs.key, gradients.key);
        add("value", inputs.value, gradients.value);
        if (problem.config.form.has_query()) {
            add("query_weight", parameters.query_weight, gradients.query_weight);
            add("query_bias", parameters.query_bias, gradients.query_bias);
        }
        add("key_weight", parameters.key_weight, gradients.key_weight);
        add("key_bias", parameters.key_bias, gradients.key_bias);
        add("value_weight", parameters.value_weight, gradients.value_weight);
        add("value_bias", parameters.value_bias, gradients.value_bias);
        add("project_weight", parameters.project_weight, gradients.project_weight);
        add("project_bias", parameters.project_bias, gradients.project_bias);
        add("position_bias", parameters.position_bias, gradients.position_bias);
        add("position_bias", inputs.sight.position_bias, gradients.given_bias);
    }
    LayerStepTensors(const LayerStepTensors &) = delete;
    LayerStepTensors &operator=(const LayerStepTensors &) = delete;

private:
    /// A gradient of what the call has.
    template<typename Input, typename Gradient>
    void add(const char *name, const Input &input, Gradient &gradient) {
        if (input.data) {
            std::int64_t size = 1;
            for (const std::int64_t extent : input.extents) {
                size *= extent;
            }
            std::vector<float> &values = results.gradients[name];
            values.assign(static_cast<std::size_t>(size), not_written);
            gradient = {values.data(), input.extents};
        }
    }
};

inline LayerStep step_of(const LayerTraining &training, const Problem &problem, const Weights &weights) {
    LayerStepTensors tensors(problem, weights);
    const LayerCall &call = tensors.call.layer;
    const std::int64_t saved_size = training.saved_size(call);
    tensors.saved.assign(static_cast<std::size_t>(saved_size), not_written);
    training.forward(tensors.parameters, call, {tensors.results.y.data(), call.query.extents},
                     {tensors.saved.data(), {saved_size}});
    training.backward(tensors.parameters, call, {tensors.dy.data(), call.query.extents},
                      {tensors.saved.data(), {saved_size}}, tensors.gradients);
    return tensors.results;
}

inline std::vector<Problem> layer_training_problems() {
    std::vector<Problem> problems;
    for (const Problem &problem : layer_problems()) {
        if (!problem.config.form.varies_by_channel() && problem.piece == 0) {
            problems.push_back(problem);
        }
    }
    return problems;
}

}  // namespace aft
