#include "layer/linear_training.h"

#include "halide/limits.h"
#include "layer/parts.h"

namespace aft {
namespace {

/// Makes one sample of all where they follow each other in memory in both, so that tiles of rows end in the last one
/// alone. Rows are computed one by one, and summed in the same order: the bits are the same.
void join_samples(const PreparedSelection &kernels, Tensor &a, Tensor &b) {
    Tensor joined_a = a, joined_b = b;
    if (kernels.least_batch() == 1 && aft::join_samples(joined_a) && aft::join_samples(joined_b)) {
        a = joined_a;
        b = joined_b;
    }
}

}  // namespace

std::vector<Demand> LinearTraining::demands(std::int64_t inputs, std::int64_t outputs) {
    LayerConfig config;
    config.hidden = inputs;
    config.projected = outputs;
    config.max_seq_len = max_elements;
    return {{"linear_training", config}, {"linear_gradients", config}};
}

LinearTraining::LinearTraining(const Selection &forward, const Selection &gradients, std::int64_t inputs,
                               std::int64_t outputs)
    : forward_(
          forward, {},
          [&](const Candidate &candidate) {
              const MinimumExtents &minimum = candidate.kernel->info.minimum;
              const std::int64_t B = minimum.batch, rows = minimum.seq;
              return std::vector<Operand>{{"x", TensorView<float, 3>(nullptr, {B, rows, inputs})},
                                          {"w", TensorView<float, 2>(nullptr, {outputs, inputs})},
                                          {"b", TensorView<float, 1>(nullptr, {outputs})},
                                          {"y", TensorView<float, 3>(nullptr, {B, rows, outputs})}};
          },
          nullptr),
      gradients_(
          gradients, {},
          [&](const Candidate &candidate) {
              const MinimumExtents &minimum = candidate.kernel->info.minimum;
              const std::int64_t B = minimum.batch, rows = minimum.seq;
              return std::vector<Operand>{{"x", TensorView<float, 3>(nullptr, {B, rows, inputs})},
                                          {"dy", TensorView<float, 3>(nullptr, {B, rows, outputs})},
                                          {"dw", TensorView<float, 3>(nullptr, {1, outputs, inputs})},
                                          {"db", TensorView<float, 2>(nullptr, {1, outputs})}};
          },
          nullptr) {}

void LinearTraining::forward(CallMemory &memory, const TensorView<const float, 3> &x,
                             const TensorView<const float, 2> &weight, const TensorView<const float, 1> &bias,
                             const TensorView<float, 3> &y) const {
    const std::int64_t outputs = weight.extents[0];
    const Tensor b =
        bias.data ? Tensor(bias) : memory.constant("b", 0.0f, TensorView<const float, 1>(nullptr, {outputs}, {0}));
    Tensor input = x, output = y;
    join_samples(forward_, input, output);
    forward_.kernel_for({x.extents[0], x.extents[1]})
        .call({{"x", input}, {"w", weight}, {"b", b}, {"y", output}}, memory);
}

void LinearTraining::gradients(CallMemory &memory, const TensorView<const float, 3> &x,
                               const TensorView<const float, 3> &dy, float *weight, float *bias) const {
    const std::int64_t inputs = x.extents[2], outputs = dy.extents[2];
    Tensor input = x, of_output = dy;
    join_samples(gradients_, input, of_output);
    gradients_.kernel_for({x.extents[0], x.extents[1]})
        .call({{"x", input},
               {"dy", of_output},
               {"dw", TensorView<float, 3>(weight, {1, outputs, inputs})},
               {"db", TensorView<float, 2>(bias, {1, outputs})}},
              memory);
}

}  // namespace aft
