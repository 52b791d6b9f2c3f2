#pragma once

#include "layer/layer_call.h"

#include <aft/training.h>

namespace aft {

/// The options of a form that has gradients: it runs on the CPU. Throws ConfigError for one that has none, and for
/// int8.
LayerOptions training_options(const LayerForm &form, const LayerOptions &options);

// The checks of a step of training. They throw ShapeError.

/// The call and the parameters of a layer. y_name: of the result, or of its gradient.
Composed::Call check_training_call(const LayerConfig &config, const Device &device, const LayerParameters &parameters,
                                   const LayerCall &call, const char *y_name, const TensorView<float, 3> &y);

/// rows * channels floats of each sample, if they can be counted.
std::int64_t count_of_saved(std::int64_t batch, std::int64_t rows, std::int64_t channels);

/// `saved` has this size, without gaps.
void check_saved(const TensorView<float, 1> &saved, std::int64_t size);

/// The results of forward overlap nothing.
void check_results(const TensorView<float, 3> &y, const TensorView<float, 1> &saved, const LayerParameters &parameters,
                   const Composed::Call &checked, const Sight &sight);

/// The gradients have the extents of their tensors, and overlap nothing.
void check_gradients(const LayerConfig &config, const LayerGradients &gradients, const LayerParameters &parameters,
                     const LayerCall &call, const Composed::Call &checked, const Tensor &dy, const Tensor &saved);

}  // namespace aft
