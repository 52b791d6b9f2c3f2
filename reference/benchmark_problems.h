#pragma once

#include "reference/problem.h"

#include <aft/kernels.h>

#include <string>
#include <vector>

namespace aft {

/// A problem of the benchmark. Its `piece` isn't 0 for a step: the last `piece` positions, after all others.
struct BenchmarkProblem : Problem {
    BenchmarkProblem(const Problem &problem, const char *what = "forward") : Problem(problem), operation(what) {}

    /// The part that is timed: `forward`, the whole layer; `linear`, its projection of the queries; `core` or `scan`,
    /// its mean; `training`, a step of training of a layer or of its mean; `linear_training`, `linear_gradients`,
    /// `core_training`, `core_gradients`, `bias_gradients`, the parts of a step.
    std::string operation;
    bool keeps_sources = false;  ///< of `forward`: keys and values were projected before
    bool only_chosen = false;    ///< only the kernel that the library chooses: another one may take a minute a call
};

/// The projection of a layer's queries; its weighted mean, by the operation that the library takes for it.
BenchmarkProblem projection_alone(const Problem &problem);
BenchmarkProblem mean_alone(Problem problem);

/// A step of training of a layer without a bias of the call, a step of its mean, and the parts of that: core_training,
/// core_gradients, bias_gradients.
std::vector<BenchmarkProblem> training_of(const Problem &layer);
/// The projection of a layer's queries: linear_training, linear_gradients.
BenchmarkProblem trained_projection(const Problem &problem, const char *operation);
/// Whether it is one of these.
bool is_of_training(const BenchmarkProblem &problem);

/// Whether it is a projection alone, which is the same in every form.
bool is_projection(const BenchmarkProblem &problem);

/// The name of an operation that is a part of a layer.
std::vector<std::string> operations_of_parts();

/// Whether kernels of its operation compute the problem. Without any, the layer is composed of other operations.
bool has_kernels(const BenchmarkProblem &problem);

/// Whether a kernel computes the problem, if its extents allow it. The mean of AFTSimple is the one of all targets, not
/// of pairs.
bool computes(const KernelInfo &kernel, const BenchmarkProblem &problem);

/// Whether it runs the problem here, by the library's own selector.
Judgement judge(const KernelInfo &kernel, const BenchmarkProblem &problem);

/// Floating-point operations that no implementation can leave out. `lengths`: of the samples, or none. A mask leaves
/// nothing out.
double work(const BenchmarkProblem &problem, const std::vector<std::int64_t> &lengths);

/// Whole layers in the shapes of the paper's models, and in other forms, their parts, calls with masks, and steps.
std::vector<BenchmarkProblem> benchmark_problems();

/// The same for GPUs: fewer of them, the largest in a batch that fills a device.
std::vector<BenchmarkProblem> gpu_benchmark_problems();

/// Small ones. Each kernel of the build for an API takes one of them at least, or is run by a layer that keeps its
/// sources, of one target and of several.
std::vector<BenchmarkProblem> quick_benchmark_problems(const std::string &api);

}  // namespace aft
