#pragma once

#include "arena.h"

namespace aft::bench {

// Steps of training, and parts of them: problems of training_of() and trained_projection(). `weights` and `call` are
// those of the problem, and must live as long. They throw ConfigError, or ShapeError, when the kernel that `options`
// name can't do the problem. The references have what the subjects compare.

/// A few targets of every sample are compared, and a few channels of the first and the last sample: a result of a
/// target needs no other target, and one of a channel no other channel.
Subject mean_in_training(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                         const LayerOptions &options);
Reference reference_of_mean_in_training(const BenchmarkProblem &problem, const Weights &weights,
                                        const CallTensors &call);

/// A few channels are compared with a layer that has no others. In that run, all others have the output weight 0.
Subject layer_in_training(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                          const LayerOptions &options);
Reference reference_of_layer_in_training(const BenchmarkProblem &problem, const Weights &weights,
                                         const CallTensors &call);

/// A few outputs are compared.
Subject projection_in_training(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                               const LayerOptions &options);
Reference reference_of_projection_in_training(const BenchmarkProblem &problem, const Weights &weights,
                                              const CallTensors &call);

}  // namespace aft::bench
