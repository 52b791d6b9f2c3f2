#include "training.h"
#include "training_slices.h"

#include "reference/gradients.h"
#include "reference/trained.h"

#include <aft/training.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace aft::bench {

namespace {

std::vector<float> gradient_of_output(const BenchmarkProblem &problem) {
    const auto [batch, seq] = problem.shape;
    return Random(problem.seed + 1000).normals(static_cast<std::size_t>(batch * seq * problem.config.hidden), 1);
}

/// A step of a layer of one input.
class LayerStep {
public:
    LayerStep(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
              const LayerOptions &options)
        : problem_(problem), masked_(weights.project_weight), layer_(problem.config, options), call_(call.layer),
          dy_(gradient_of_output(problem)), y_(dy_.size()), saved_(static_cast<std::size_t>(layer_.saved_size(call_))),
          x_(dy_.size()), of_(weights), parameters_(parameters_of(problem.config, weights)),
          gradients_(gradients_of(problem.config, of_)) {
        const std::int64_t H = problem.config.hidden, P = problem.config.projected;
        for (std::int64_t h = 0; h < H; ++h) {
            std::fill_n(masked_.begin() + h * P, P - few_channels(problem), 0.0f);
        }
        gradients_.query = {x_.data(), call_.query.extents};
    }

    void run() {
        run(parameters_);
    }
    std::vector<float> compared(bool &all_finite) {
        const std::array<std::vector<float> *, 11> results = {&y_,
                                                              &x_,
                                                              &of_.query_weight,
                                                              &of_.query_bias,
                                                              &of_.key_weight,
                                                              &of_.key_bias,
                                                              &of_.value_weight,
                                                              &of_.value_bias,
                                                              &of_.project_weight,
                                                              &of_.project_bias,
                                                              &of_.position_bias};
        for (std::vector<float> *result : results) {
            std::fill(result->begin(), result->end(), std::numeric_limits<float>::quiet_NaN());
        }
        LayerParameters parameters = parameters_;
        parameters.project_weight.data = masked_.data();
        run(parameters);
        all_finite = true;
        for (const std::vector<float> *result : results) {
            all_finite =
                all_finite && std::all_of(result->begin(), result->end(), [](float v) { return std::isfinite(v); });
        }
        const std::int64_t H = problem_.config.hidden, P = problem_.config.projected, few = few_channels(problem_);
        std::vector<float> all;
        for (const std::vector<float> &each :
             {y_, x_, last_rows(of_.query_weight, few, H), last_rows(of_.query_bias, few, 1),
              last_rows(of_.key_weight, few, H), last_rows(of_.key_bias, few, 1), last_rows(of_.value_weight, few, H),
              last_rows(of_.value_bias, few, 1), last_columns(of_.project_weight, few, P), of_.project_bias,
              of_.position_bias}) {
            all.insert(all.end(), each.begin(), each.end());
        }
        return all;
    }

private:
    void run(const LayerParameters &parameters) {
        const TensorView<const float, 3>::Extents extents = call_.query.extents;
        const TensorView<float, 1> saved(saved_.data(), {static_cast<std::int64_t>(saved_.size())});
        layer_.forward(parameters, call_, {y_.data(), extents}, saved);
        layer_.backward(parameters, call_, {dy_.data(), extents}, saved, gradients_);
    }

    const BenchmarkProblem problem_;
    std::vector<float> masked_;
    const LayerTraining layer_;
    const LayerCall &call_;
    const std::vector<float> dy_;
    std::vector<float> y_, saved_, x_;
    Weights of_;  // their gradients
    LayerParameters parameters_;
    LayerGradients gradients_;
};

}  // namespace

Subject layer_in_training(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                          const LayerOptions &options) {
    return subject_of<LayerStep>(problem, weights, call, options);
}

Reference reference_of_layer_in_training(const BenchmarkProblem &problem, const Weights &weights,
                                         const CallTensors &call) {
    const std::int64_t H = problem.config.hidden, P = problem.config.projected, few = few_channels(problem);
    LayerConfig config = problem.config;
    config.projected = few;
    Weights reduced = weights;
    for (std::vector<float> Weights::*weight : {&Weights::query_weight, &Weights::key_weight, &Weights::value_weight}) {
        reduced.*weight = last_rows(weights.*weight, few, H);
    }
    for (std::vector<float> Weights::*bias : {&Weights::query_bias, &Weights::key_bias, &Weights::value_bias}) {
        reduced.*bias = last_rows(weights.*bias, few, 1);
    }
    reduced.project_weight = last_columns(weights.project_weight, few, P);
    const Gradients gradients = reference_gradients(config, reduced, call.layer, gradient_of_output(problem));
    Reference all = reference_layer(config, reduced, call.layer);
    for (const Reference *each :
         {&gradients.query, &gradients.query_weight, &gradients.query_bias, &gradients.key_weight, &gradients.key_bias,
          &gradients.value_weight, &gradients.value_bias, &gradients.project_weight, &gradients.project_bias,
          &gradients.position_bias}) {
        append(*each, all);
    }
    return all;
}

}  // namespace aft::bench
