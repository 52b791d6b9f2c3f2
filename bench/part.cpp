#include "part.h"

#include "devices/devices.h"
#include "kernels/selector.h"
#include "layer/composed.h"
#include "layer/mean.h"

#include <aft/layer.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aft::bench {

namespace {

/// [batch, before + rows, channels] of [batch, rows, channels]. The rows before are hidden, so that 0 is as good as
/// any.
std::vector<float> behind(std::int64_t before, const TensorView<const float, 3> &tensor) {
    const auto [batch, rows, channels] = tensor.extents;
    std::vector<float> result(batch * (before + rows) * channels, 0.0f);
    for (std::int64_t b = 0; b < batch; ++b) {
        std::copy_n(tensor.data + b * rows * channels, rows * channels,
                    result.begin() + (b * (before + rows) + before) * channels);
    }
    return result;
}

}  // namespace

struct Part::Implementation {
    std::shared_ptr<DeviceContext> context;  // null: the CPU
    ScratchPool scratch;
    std::optional<Linear> linear;
    std::optional<KeptTensor> x, key, value, y;
    std::optional<Mean> mean;
    Way way = Way::pairs;
    CallShape shape;
    Sight sight;

    void run(CallMemory &memory, const Tensor &into) const {
        if (linear) {
            linear->run(memory, x->tensor(), into);
        } else {
            mean->forward(memory, way, {shape, x->tensor(), key->tensor(), value->tensor(), into}, sight);
        }
    }
};

Part::Part(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call, const KernelInfo &kernel,
           const Device &device)
    : implementation_(std::make_unique<Implementation>()) {
    Implementation &part = *implementation_;
    const LayerConfig &config = problem.config;
    const LayerOptions options{kernel.id, device.id};
    const auto [B, n] = problem.shape;
    const std::int64_t m = source_count(problem), H = config.hidden, P = config.projected;
    const bool is_linear = problem.operation == "linear";
    const Demand demand = is_linear ? Linear::demand(H, P) : Mean::demand(config, named_kernel(options));
    const Selection selection = select({demand}, options).front().front();
    part.context = open(*selection.device);
    const DeviceContext *context = part.context.get();
    part.x.emplace("x", std::vector<std::int64_t>{B, n, is_linear ? H : P}, call.query.data(), context);
    part.y.emplace("y", std::vector<std::int64_t>{B, n, P}, nullptr, context);
    if (is_linear) {
        part.linear.emplace(selection, weights.query_weight, weights.query_bias, H, P, context);
        return;
    }
    part.mean.emplace(config, weights, selection, context);
    part.sight = call.core.sight;
    part.way = part.mean->way_of(part.sight);
    part.shape = {B, n, m};
    const std::int64_t before = part.mean->rows_before(part.way);
    const std::vector<std::int64_t> extents = {B, before + m, P};
    part.key.emplace("key", extents, behind(before, call.core.key).data(), context);
    part.value.emplace("value", extents, behind(before, call.core.value).data(), context);
}

Part::~Part() = default;

void Part::run() {
    CallMemory memory(implementation_->context.get(), implementation_->scratch);
    implementation_->run(memory, implementation_->y->tensor());
    memory.wait();
}

void Part::run_to(TensorView<float, 3> y) {
    CallMemory memory(implementation_->context.get(), implementation_->scratch);
    const Tensor result = memory.output("y", y);
    implementation_->run(memory, result);
    memory.fetch(result);
}

}  // namespace aft::bench
