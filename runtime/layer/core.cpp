#include "layer/checks.h"
#include "layer/mean.h"
#include "layer/parts.h"
#include "threads/float_environment.h"
#include "weights/parameters.h"

#include <aft/core.h>
#include <aft/error.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace aft {
namespace {

/// The caller's rows behind `before` others, dense.
TensorView<float, 3> behind(CallMemory &memory, const char *name, const TensorView<const float, 3> &rows,
                            std::int64_t before) {
    const auto [B, n, P] = rows.extents;
    const TensorView<float, 3> result = memory.on_host<float, 3>(name, {B, before + n, P});
    for (std::int64_t b = 0; b < B; ++b) {
        float *sample = result.data + b * result.strides[0];
        std::fill_n(sample, before * P, 0.0f);
        for (std::int64_t t = 0; t < n; ++t) {
            std::copy_n(rows.data + b * rows.strides[0] + t * rows.strides[1], P, sample + (before + t) * P);
        }
    }
    return result;
}

}  // namespace

struct Core::Implementation {
    LayerConfig config;
    const DriverDevice *device = nullptr;
    std::shared_ptr<DeviceContext> context;  // null: the CPU
    std::unique_ptr<const Mean> mean;
    mutable ScratchPool scratch;

    ~Implementation() {
        leave();
    }

    /// Throws DeviceError when the device fails, and leaves nothing there.
    void move_to(const Selection &selection, const Weights &weights) {
        device = selection.device;
        context = open(*device);
        try {
            mean = std::make_unique<Mean>(config, weights, selection, context.get());
        } catch (...) {
            leave();
            throw;
        }
    }

    void run(Way way, const CallShape &shape, const CoreCall &call, const TensorView<float, 3> &y) const {
        CallMemory memory(context.get(), scratch);
        Mean::Call of_mean;
        of_mean.shape = shape;
        if (config.form.has_query()) {
            of_mean.query = memory.input("query", call.query);
        }
        const std::int64_t before = mean->rows_before(way);
        const auto sources = [&](const char *name, const TensorView<const float, 3> &rows) {
            if (shape.sources == 0) {
                TensorView<const float, 3> one = rows;
                one.extents[1] = 1;
                const TensorView<float, 3> zeros = memory.on_host<float, 3>(name, one.extents);
                std::fill_n(zeros.data, shape.batch * config.projected, 0.0f);
                return memory.send(name, zeros);
            }
            return before == 0 ? memory.input(name, rows) : memory.send(name, behind(memory, name, rows, before));
        };
        of_mean.key = sources("key", call.key);
        of_mean.value = sources("value", call.value);
        of_mean.y = memory.output("y", y);
        mean->forward(memory, way, of_mean, call.sight);
        memory.fetch(of_mean.y);
    }

    /// Steps only some samples of the state: sample i of the call is sample `first` + i of the state.
    void step(StateValues &state, std::int64_t first, const CoreCall &call, const TensorView<float, 3> &y) const {
        CallMemory memory(context.get(), scratch);
        const std::int64_t before = aft::rows_before(config);
        Mean::Step step;
        step.first_sample = first;
        step.lengths = call.sight.lengths;
        if (config.form.has_query()) {
            step.query = call.query;
        }
        const TensorView<float, 3> keys = behind(memory, "key", call.key, before),
                                   values = behind(memory, "value", call.value, before);
        mean->recall(state, first, keys, values);
        step.key = keys;
        step.value = values;
        step.y = y;
        step.sums = memory.on_host<float, 3>("next_state", {y.extents[0], 4, config.projected});
        mean->step(memory, state, step);
        mean->keep(state, step);
    }

    void leave() {
        mean.reset();
        if (context) {
            context->release_unused();
        }
        context.reset();
    }
};

Core::Core(const LayerConfig &config, const Weights &weights, const LayerOptions &options)
    : implementation_(std::make_unique<Implementation>()) {
    const FloatEnvironment during;
    check_core_config(config);
    check_core_weights(weights, config);
    implementation_->config = config;
    refuse_int8(options, "is for the weights of projections, and a core has none");
    const std::vector<Plan> plans = select(std::vector<Demand>{Mean::demand(config, named_kernel(options))}, options);
    for (std::size_t i = 0; i < plans.size(); ++i) {
        try {
            implementation_->move_to(plans[i].front(), weights);
            return;
        } catch (const DeviceError &) {
            if (i + 1 == plans.size()) {
                throw;
            }
        }
    }
}

Core::~Core() = default;
Core::Core(Core &&) noexcept = default;
Core &Core::operator=(Core &&) noexcept = default;

void Core::forward(const CoreCall &call, TensorView<float, 3> y) const {
    const Implementation &core = *implementation_;
    const CallShape shape = check_core_call(call, "y", y, config(), device());
    check_sight(call.sight, config().form, shape);
    check_apart("y", y, call);
    if (shape.batch == 0 || shape.targets == 0) {
        return;
    }
    const Way way = core.mean->way_of(call.sight);
    in_parts(shape.batch, core.mean->least_batch(way), [&](std::int64_t first, std::int64_t count) {
        core.run(way, {count, shape.targets, shape.sources}, part_of(call, first, count), part_of(y, first, count));
    });
    if (config().form.is_causal() && shape.targets == shape.sources) {
        clear_rows_beyond(call.sight.lengths, y);
    }
}

void Core::step(State &state, const CoreCall &call, TensorView<float, 3> y) const {
    const Implementation &core = *implementation_;
    StateValues &positions = StateAccess::of(state);
    check_state(positions, config());
    const CallShape shape = check_core_call(call, "y", y, config(), device());
    check_same_extents("key", call.key, y, "y");
    if (call.sight.mask.data != nullptr || call.sight.position_bias.data != nullptr || call.sight.bias_scale != 1) {
        throw ShapeError("the sight of a step has more than lengths");
    }
    check_step(positions, {shape.batch, shape.targets}, call.sight.lengths);
    check_apart("y", y, call);
    if (shape.batch == 0 || shape.targets == 0) {
        return;
    }
    core.mean->prepare_steps();
    step_in_parts(positions, core.mean->least_batch(core.mean->way_of_steps()),
                  [&](std::int64_t first, std::int64_t count) {
                      core.step(positions, first, part_of(call, first, count), part_of(y, first, count));
                  });
}

const Device &Core::device() const {
    return implementation_->device->info;
}

const KernelInfo &Core::kernel_for(std::int64_t targets, std::int64_t sources) const {
    check_shape({1, targets}, longest_of(config()), "targets: ");
    check_shape({1, sources}, longest_of(config()), "sources: ");
    return implementation_->mean->kernel_for({1, targets});
}

const LayerConfig &Core::config() const {
    return implementation_->config;
}

std::size_t Core::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
