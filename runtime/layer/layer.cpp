#include "devices/cuda_driver.h"
#include "kernels/prepared_selection.h"
#include "layer/checks.h"
#include "layer/composed.h"
#include "layer/layer_call.h"
#include "layer/parts.h"
#include "threads/float_environment.h"
#include "weights/bias_range.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/layer.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

namespace aft {
namespace {

// Scratch memory that is free again is kept by stream, and may be written by what is queued on it next.
const Stream stream_per_thread = reinterpret_cast<Stream>(2);  // CU_STREAM_PER_THREAD

/// x and y of one call.
void check_tensors(const TensorView<const float, 3> &x, const TensorView<float, 3> &y, const LayerConfig &config,
                   std::int64_t longest, const Device &device) {
    check_tensor("x", x, {"hidden", config.hidden, longest});
    check_tensor("y", y, {"hidden", config.hidden, longest});
    check_batch("x", x.extents[0], device);
    check_same_extents("y", y, x, "x");
    check_apart("y", y, "x", x);
}

/// The longest sequence of a layer of kernels that can be called: kernels count the elements of x, and at least a float
/// that they keep of each row, in bytes.
std::int64_t longest_call(const Candidate &candidate, const LayerConfig &config) {
    const std::int64_t of_row = std::max<std::int64_t>(config.hidden, sizeof(float));
    return std::min(candidate.seq.to, max_elements / candidate.kernel->info.minimum.batch / of_row);
}

bool is_empty(const Shape &shape) {
    return shape.batch == 0 || shape.seq == 0;
}

Shape shape_of(const TensorView<const float, 3> &x) {
    return {x.extents[0], x.extents[1]};
}

/// Whether there are kernels of a whole layer of this form.
bool has_forward(const LayerConfig &config) {
    return key_hidden(config) == config.hidden && value_hidden(config) == config.hidden &&
           std::any_of(kernel_rows().begin(), kernel_rows().end(), [&](const KernelRow &row) {
               return std::string_view(row.operation) == "forward" && row.layer == config.form;
           });
}

/// Whether `core` serves a whole layer better than its `forward` kernels: where the bias of an AFTFull is beyond the
/// range of the fast ones, the exact one that the library has takes ten times as long as a `core` that proves its
/// results.
bool is_better_composed(const Plan &plan, const LayerConfig &config, const BiasRange &bias) {
    const Selection &whole = plan.front();
    const std::vector<Kernel> &kernels = kernels_of(whole.device->info.api);
    return config.form.has_bias() && !config.form.has_window() && !(bias.range <= max_bias_range) && !whole.is_named &&
           whole.candidates.size() == 1 &&  // a program's own kernels would come first
           std::any_of(kernels.begin(), kernels.end(), [](const Kernel &kernel) {
               return std::string_view(kernel.row.operation) == "core" &&
                      std::string_view(kernel.row.algorithm) == "certified" && judge(kernel.info).fit == Fit::automatic;
           });
}

}  // namespace

struct Sources::Implementation {
    std::unique_ptr<const KeptSources> kept;
};

Sources::Sources(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
Sources::~Sources() = default;
Sources::Sources(Sources &&) noexcept = default;
Sources &Sources::operator=(Sources &&) noexcept = default;

std::int64_t Sources::batch() const {
    return implementation_->kept->batch;
}

std::int64_t Sources::count() const {
    return implementation_->kept->count;
}

struct Layer::Implementation {
    LayerConfig config;
    const DriverDevice *device = nullptr;
    std::string storage;                     // of its kernels
    std::shared_ptr<DeviceContext> context;  // null: the CPU
    std::optional<PreparedSelection> whole;  // kernels of the whole layer; without them, it is composed
    mutable ScratchPool scratch;

    ~Implementation() {
        leave();
    }

    /// Prepares the kernels of a plan: of the whole layer, if its bias is given, or of the operations that it is
    /// composed of. Throws DeviceError when the device fails, and leaves nothing there.
    void move_to(const Plan &plan, const Weights &weights, const std::optional<BiasRange> &bias_of_whole) {
        device = plan.front().device;
        storage = plan.front().storage;
        context = open(*device);
        try {
            if (!bias_of_whole) {
                composed_ = std::make_unique<Composed>(config, weights, plan, context.get());
                return;
            }
            if (is_better_composed(plan, config, *bias_of_whole)) {
                composed_ = compose(weights);
                return;
            }
            std::vector<float> identity;
            whole.emplace(
                plan.front(), forward_parameters(weights, config, identity),
                [&](const Candidate &candidate) {
                    const TensorView<float, 3> x(nullptr, {candidate.kernel->info.minimum.batch,
                                                           longest_call(candidate, config), config.hidden});
                    return std::vector<Operand>{{"x", x}, {"y", x}};
                },
                context.get());
            weights_ = std::make_unique<Weights>(weights);
        } catch (...) {
            leave();
            throw;
        }
    }

    /// Waits first: queued work reads the weights.
    void leave() {
        if (context) {
            try {
                context->synchronize();
            } catch (const DeviceError &) {  // of a call; its caller gets it from the stream
            }
        }
        whole.reset();
        composed_.reset();
        if (context) {
            context->release_unused();
        }
        context.reset();
    }

    /// The first call that kernels of the whole layer can't serve prepares the others.
    const Composed &composed() const {
        const std::lock_guard lock(mutex_);
        if (!composed_) {
            const FloatEnvironment during;
            composed_ = compose(*weights_);
            weights_.reset();
        }
        return *composed_;
    }

    void run_whole(CallMemory &memory, const TensorView<const float, 3> &x, const TensorView<float, 3> &y) const {
        const CallMemory::Mark mark = memory.mark();
        const Tensor result = memory.output("y", y);
        whole->kernel_for(shape_of(x)).call({{"x", memory.input("x", x)}, {"y", result}}, memory);
        memory.fetch(result);
        memory.release(mark);
    }

    /// Neighbouring samples of one length run at once, as a shorter sequence.
    void run_whole(const TensorView<const float, 3> &x, const TensorView<float, 3> &y,
                   const TensorView<const std::int64_t, 1> &lengths) const {
        if (!lengths.data) {
            in_parts(x.extents[0], whole->least_batch(), [&](std::int64_t first, std::int64_t count) {
                CallMemory memory(context.get(), scratch);
                run_whole(memory, part_of(x, first, count), part_of(y, first, count));
            });
            return;
        }
        const std::int64_t batch = x.extents[0];
        const auto length = [&](std::int64_t b) { return lengths.data[b * lengths.strides[0]]; };
        for (std::int64_t b = 0; b < batch; ++b) {
            if (length(b) > 0) {
                whole->kernel_for({1, length(b)});  // throws before anything is written
            }
        }
        for (std::int64_t first = 0, end; first < batch; first = end) {
            end = first + 1;
            while (end < batch && length(end) == length(first)) {
                ++end;
            }
            if (length(first) > 0) {
                run_whole(samples(x, first, end - first, length(first)), samples(y, first, end - first, length(first)),
                          {});
            }
        }
        clear_rows_beyond(lengths, y);
    }

    std::int64_t longest() const {
        return whole ? config.max_seq_len : longest_of(config);
    }

    /// `is_x`: the query is the only input.
    void forward(const LayerCall &call, const TensorView<float, 3> &y, bool is_x) const {
        const KeptSources *kept = call.sources ? call.sources->implementation_->kept.get() : nullptr;
        if (kept && kept->layer != this) {
            throw ShapeError("sources are of another layer");
        }
        const bool is_plain = whole && is_of_one_input(call) && !call.sight.mask.data;
        const bool may_share_samples = !is_x;
        const TensorRule queries{"hidden", config.hidden, is_plain ? longest() : longest_of(config), may_share_samples};
        const Composed::Call checked =
            check_call(call, kept, "y", y, config, is_x ? "x" : "query", queries, device->info);
        check_apart(y, checked, is_x ? "x" : "query", call.sight);
        if (checked.shape.batch == 0 || checked.shape.targets == 0) {
            return;
        }
        if (is_plain) {
            run_whole(call.query, y, call.sight.lengths);
            return;
        }
        const Mean &mean = composed().mean();
        const Way way = mean.way_of(call.sight);
        if (kept && context && kept->before != mean.rows_before(way)) {  // a device can't begin within a tensor
            throw ShapeError("mask: sources that are kept on " + device->info.id + " for layer " +
                             std::string(name(config.form)) + " take masks of sources, not of pairs");
        }
        const std::int64_t least = kept && context ? checked.shape.batch : composed().least_batch(way);
        in_parts(checked.shape.batch, least, [&](std::int64_t first, std::int64_t count) {
            CallMemory memory(context.get(), scratch);
            composed().forward(memory, way, checked.part(first, count), part_of(call.sight, first, count),
                               part_of(y, first, count));
        });
        if (!kept && !is_given(call.key)) {
            clear_rows_beyond(call.sight.lengths, y);
        }
    }

private:
    std::unique_ptr<Composed> compose(const Weights &weights) const {
        Plan plan;
        for (Demand demand : Composed::demands(config, weights, nullptr)) {
            demand.storage = storage;
            plan.push_back(select_on(*device, demand));
        }
        return std::make_unique<Composed>(config, weights, plan, context.get());
    }

    mutable std::mutex mutex_;
    mutable std::unique_ptr<Composed> composed_;
    mutable std::unique_ptr<const Weights> weights_;  // until the layer is composed
};

Layer::Layer(const LayerConfig &config, const Weights &weights, const LayerOptions &options)
    : implementation_(std::make_unique<Implementation>()) {
    const FloatEnvironment during;
    check_config(config);
    check_weights(weights, config);
    implementation_->config = config;
    const KernelRow *named = named_kernel(options);
    const bool is_whole = has_forward(config) && (!named || std::string_view(named->operation) == "forward");
    const std::optional<BiasRange> bias = is_whole ? std::optional(widest_bias_range(weights, config)) : std::nullopt;
    const std::vector<Demand> demands =
        bias ? std::vector<Demand>{{"forward", config, *bias}} : Composed::demands(config, weights, named);
    const std::vector<Plan> plans = select(demands, options);
    for (std::size_t i = 0; i < plans.size(); ++i) {
        try {
            implementation_->move_to(plans[i], weights, bias);
            return;
        } catch (const DeviceError &) {
            if (i + 1 == plans.size()) {
                throw;
            }
        }
    }
}

Layer::~Layer() = default;
Layer::Layer(Layer &&) noexcept = default;
Layer &Layer::operator=(Layer &&) noexcept = default;

void Layer::forward(TensorView<const float, 3> x, TensorView<float, 3> y) const {
    LayerCall call;
    call.query = x;
    implementation_->forward(call, y, true);
}

void Layer::forward(const LayerCall &call, TensorView<float, 3> y) const {
    implementation_->forward(call, y, false);
}

Sources Layer::sources(TensorView<const float, 3> key, TensorView<const float, 3> value) const {
    const TensorView<const float, 3> values = is_given(value) ? value : key;
    check_sources(key, values, config());
    check_batch("key", key.extents[0], device());
    const Composed &composed = implementation_->composed();
    auto result = std::make_unique<Sources::Implementation>();
    result->kept = composed.keep(implementation_->scratch, implementation_.get(), key, values);
    return Sources(std::move(result));
}

void Layer::step(State &state, TensorView<const float, 3> x, TensorView<float, 3> y,
                 TensorView<const std::int64_t, 1> lengths) const {
    StateValues &positions = StateAccess::of(state);
    check_state(positions, config());
    check_tensors(x, y, config(), 0, device());
    check_step(positions, {x.extents[0], x.extents[1]}, lengths);
    Sight sight;
    sight.lengths = lengths;
    check_apart("y", y, sight);
    if (!is_empty(shape_of(x))) {
        const Composed &composed = implementation_->composed();
        composed.mean().prepare_steps();
        step_in_parts(positions, composed.least_batch_of_steps(), [&](std::int64_t first, std::int64_t count) {
            CallMemory memory(implementation_->context.get(), implementation_->scratch);
            composed.step(memory, positions, first, part_of(x, first, count), part_of(y, first, count),
                          part_of(lengths, first, count));
        });
    }
}

void Layer::forward(DeviceView<const float, 3> x, DeviceView<float, 3> y, Stream stream) const {
    const Implementation &layer = *implementation_;
    check_tensors(x.tensor, y.tensor, config(), layer.longest(), device());
    const auto *cuda = dynamic_cast<const CudaContext *>(layer.context.get());
    if (!cuda) {
        throw DeviceError("x and y are in the memory of a CUDA device, but the layer is on " + device().id);
    }
    if (stream == stream_per_thread) {
        throw DeviceError("the stream is cudaStreamPerThread, must be one that is the same in every thread");
    }
    const CallShape shape{x.tensor.extents[0], x.tensor.extents[1], x.tensor.extents[1]};
    check_sight({}, config().form, shape);
    if (is_empty(shape_of(x.tensor))) {
        return;
    }
    cuda->check_memory("x", x.tensor.data);
    cuda->check_memory("y", y.tensor.data);
    if (layer.whole) {
        in_parts(shape.batch, layer.whole->least_batch(), [&](std::int64_t first, std::int64_t count) {
            CallMemory memory(*cuda, layer.scratch, stream);
            layer.run_whole(memory, part_of(x.tensor, first, count), part_of(y.tensor, first, count));
        });
        return;
    }
    const Composed &composed = layer.composed();
    const Way way = composed.mean().way_of({});
    if (composed.mean().rows_before(way) > 0) {
        throw DeviceError("layer " + std::string(name(config().form)) + " takes tensors in the host's memory only");
    }
    const Composed::Call call{shape, x.tensor, x.tensor, x.tensor, nullptr};
    in_parts(shape.batch, composed.least_batch(way), [&](std::int64_t first, std::int64_t count) {
        CallMemory memory(*cuda, layer.scratch, stream);
        composed.forward(memory, way, call.part(first, count), {}, part_of(y.tensor, first, count));
    });
}

void Layer::synchronize() const {
    if (implementation_->context) {
        implementation_->context->synchronize();
    }
}

const Device &Layer::device() const {
    return implementation_->device->info;
}

const KernelInfo &Layer::kernel_for(const Shape &shape) const {
    check_shape(shape, implementation_->longest(), "");
    return implementation_->whole ? implementation_->whole->info_for(shape)
                                  : implementation_->composed().mean().kernel_for(shape);
}

const LayerConfig &Layer::config() const {
    return implementation_->config;
}

std::size_t Layer::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
