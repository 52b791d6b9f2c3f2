#include "training.h"
#include "training_slices.h"

#include "kernels/selector.h"
#include "layer/linear_training.h"
#include "reference/gradients.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace aft::bench {

namespace {

/// The projection of the queries in training, or the gradients of its parameters.
class ProjectionStep {
public:
    ProjectionStep(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                   const LayerOptions &options)
        : problem_(problem), weights_(weights), x_(call.layer.query), linear_(made(problem.config, options)),
          dy_(gradient_of_result(problem)), y_(dy_.size()), weight_(weights.query_weight.size()),
          bias_(weights.query_bias.size()) {}

    void run() {
        const std::int64_t H = problem_.config.hidden, P = problem_.config.projected;
        CallMemory memory(nullptr, scratch_);
        if (problem_.operation == "linear_training") {
            linear_.forward(memory, x_, {weights_.query_weight.data(), {P, H}}, {weights_.query_bias.data(), {P}},
                            {y_.data(), target_extents(problem_)});
        } else {
            linear_.gradients(memory, x_, {dy_.data(), target_extents(problem_)}, weight_.data(), bias_.data());
        }
    }
    std::vector<float> compared(bool &all_finite) {
        const bool is_forward = problem_.operation == "linear_training";
        for (std::vector<float> *result : {&y_, &weight_, &bias_}) {
            std::fill(result->begin(), result->end(),
                      is_forward == (result == &y_) ? std::numeric_limits<float>::quiet_NaN() : 0.0f);
        }
        run();
        all_finite = true;
        for (const std::vector<float> *result : {&y_, &weight_, &bias_}) {
            all_finite =
                all_finite && std::all_of(result->begin(), result->end(), [](float v) { return std::isfinite(v); });
        }
        if (is_forward) {
            return of_targets(problem_, target_extents(problem_)).copy(y_);
        }
        std::vector<float> all = last_rows(weight_, few_channels(problem_), problem_.config.hidden);
        const std::vector<float> bias = last_rows(bias_, few_channels(problem_), 1);
        all.insert(all.end(), bias.begin(), bias.end());
        return all;
    }

private:
    static LinearTraining made(const LayerConfig &config, const LayerOptions &options) {
        const Plan plan = select(LinearTraining::demands(config.hidden, config.projected), options).front();
        return {plan[0], plan[1], config.hidden, config.projected};
    }

    const BenchmarkProblem problem_;
    const Weights &weights_;
    const TensorView<const float, 3> x_;
    const LinearTraining linear_;
    const std::vector<float> dy_;
    std::vector<float> y_, weight_, bias_;
    ScratchPool scratch_;
};

}  // namespace

Subject projection_in_training(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                               const LayerOptions &options) {
    return subject_of<ProjectionStep>(problem, weights, call, options);
}

Reference reference_of_projection_in_training(const BenchmarkProblem &problem, const Weights &weights,
                                              const CallTensors &call) {
    const std::int64_t H = problem.config.hidden, few = few_channels(problem);
    if (problem.operation == "linear_training") {
        const std::int64_t rows = std::min(max_targets, problem.shape.seq);
        std::vector<std::int64_t> first(static_cast<std::size_t>(rows));
        std::iota(first.begin(), first.end(), 0);
        return reference_projection(problem.config, weights, call.layer.query, first);
    }
    const std::vector<float> dy = last_columns(gradient_of_result(problem), few, problem.config.projected);
    auto [all, bias] = reference_projection_gradients(call.query, dy, H, few);
    append(bias, all);
    return all;
}

}  // namespace aft::bench
