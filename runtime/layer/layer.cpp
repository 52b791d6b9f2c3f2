#include "devices/cuda_driver.h"
#include "kernels/prepared_kernel.h"
#include "kernels/selector.h"
#include "threads/float_environment.h"
#include "weights/bias_range.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/layer.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <utility>

namespace aft {
namespace {

void check_shape(const Shape &shape, const LayerConfig &config, const std::string &where) {
    if (shape.batch < 0) {
        throw ShapeError(where + "batch is " + std::to_string(shape.batch) + ", must be at least 0");
    }
    if (shape.seq < 0 || shape.seq > config.max_seq_len) {
        throw ShapeError(where + "seq is " + std::to_string(shape.seq) + ", must be 0 to max_seq_len " +
                         std::to_string(config.max_seq_len));
    }
}

bool is_empty(const Shape &shape) {
    return shape.batch == 0 || shape.seq == 0;
}

Shape shape_of(const TensorView<const float, 3> &x) {
    return {x.extents[0], x.extents[1]};
}

/// Checks the extents of a tensor against the layer's, and that its rows don't overlap.
template<typename T>
void check_tensor(const std::string &what, const TensorView<T, 3> &tensor, const LayerConfig &config) {
    const auto [batch, seq, hidden] = tensor.extents;
    const auto [batch_stride, row_stride, channel_stride] = tensor.strides;
    auto fail = [&](const char *which, std::int64_t value, const std::string &limit) {
        throw ShapeError(what + ": " + which + " is " + std::to_string(value) + ", must be " + limit);
    };
    check_shape({batch, seq}, config, what + ": ");
    if (hidden != config.hidden) {
        fail("hidden", hidden, std::to_string(config.hidden));
    }
    if (is_empty({batch, seq})) {
        return;
    }
    if (!tensor.data) {
        throw ShapeError(what + ": data is null");
    }
    if (channel_stride != 1 && hidden > 1) {
        fail("the stride of the channels", channel_stride, "1");
    }
    // Innermost first: rows inside samples, or samples inside rows (time-major tensors).
    struct Dimension {
        const char *which, *elements;
        std::int64_t extent, stride;
    };
    Dimension inner{"the row stride", " rows", seq, row_stride},
        outer{"the batch stride", " samples", batch, batch_stride};
    if (outer.stride < inner.stride && batch > 1) {
        std::swap(inner, outer);
    }
    std::int64_t span = hidden;
    for (const Dimension &dimension : {inner, outer}) {
        if (dimension.extent == 1) {
            continue;
        }
        if (dimension.stride < span) {
            fail(dimension.which, dimension.stride, "at least " + std::to_string(span));
        }
        if (dimension.stride > max_elements / dimension.extent) {
            fail(dimension.which, dimension.stride,
                 "at most " + std::to_string(max_elements / dimension.extent) + " for " +
                     std::to_string(dimension.extent) + dimension.elements);
        }
        span += (dimension.extent - 1) * dimension.stride;
    }
}

/// One past the last element.
template<typename T>
T *end_of(const TensorView<T, 3> &tensor) {
    std::int64_t last = 0;
    for (int i = 0; i < 3; ++i) {
        last += (tensor.extents[i] - 1) * tensor.strides[i];
    }
    return tensor.data + last + 1;
}

void check_tensors(const TensorView<const float, 3> &x, const TensorView<float, 3> &y, const LayerConfig &config,
                   const Device &device) {
    check_tensor("x", x, config);
    check_tensor("y", y, config);
    const std::int64_t batch = x.extents[0], largest_grid = 65535;  // along all but a grid's first dimension
    if (device.api != "cpu" && batch > largest_grid) {
        throw ShapeError("x: batch is " + std::to_string(batch) + ", must be at most " + std::to_string(largest_grid) +
                         " on " + device.id);
    }
    if (x.extents != y.extents) {
        throw ShapeError("y is " + to_string({y.extents.begin(), y.extents.end()}) + ", must be " +
                         to_string({x.extents.begin(), x.extents.end()}) + " like x");
    }
    const std::less<const float *> before;
    if (!is_empty(shape_of(x)) && before(x.data, end_of(y)) && before(y.data, end_of(x))) {
        throw ShapeError("y overlaps x in memory");
    }
}

// Scratch memory that is free again is kept by stream, and may be written by what is queued on it next.
const Stream stream_per_thread = reinterpret_cast<Stream>(2);  // CU_STREAM_PER_THREAD

}  // namespace

struct Layer::Implementation {
    LayerConfig config;
    Selection selection;
    std::shared_ptr<DeviceContext> context;  // null: the CPU
    std::deque<PreparedKernel> kernels;      // of the candidates, in their order
    ScratchPool scratch;

    ~Implementation() {
        leave();
    }

    /// Prepares the candidates of a device. Throws DeviceError when the device fails, and leaves nothing there.
    void move_to(const Selection &chosen, const Weights &weights) {
        selection = chosen;
        context = open(*chosen.device);
        try {
            for (const auto &[kernel, seq] : chosen.candidates) {
                const TensorView<float, 3> y(nullptr, {kernel->info.minimum.batch, seq.to, config.hidden});
                const TensorView<const float, 3> x = y;
                kernels.emplace_back(kernel->row, kernel->info, config,
                                     std::initializer_list<Operand>{{"x", x}, {"y", y}}, weights, context.get());
            }
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
        kernels.clear();
        if (context) {
            context->release_unused();
        }
        context.reset();
    }

    const PreparedKernel &kernel_for(const Shape &shape) const {
        return kernels[selection.candidate_for(shape)];
    }
};

Layer::Layer(const LayerConfig &config, const Weights &weights, const LayerOptions &options)
    : implementation_(std::make_unique<Implementation>()) {
    const FloatEnvironment during;
    check_config(config);
    check_weights(weights, config);
    implementation_->config = config;
    const std::vector<Selection> selections = select({"forward", config, widest_bias_range(weights, config)}, options);
    for (std::size_t i = 0; i < selections.size(); ++i) {
        try {
            implementation_->move_to(selections[i], weights);
            return;
        } catch (const DeviceError &) {
            if (i + 1 == selections.size()) {
                throw;
            }
        }
    }
}

Layer::~Layer() = default;
Layer::Layer(Layer &&) noexcept = default;
Layer &Layer::operator=(Layer &&) noexcept = default;

void Layer::forward(TensorView<const float, 3> x, TensorView<float, 3> y) const {
    check_tensors(x, y, config(), device());
    if (!is_empty(shape_of(x))) {
        implementation_->kernel_for(shape_of(x)).call({{"x", x}, {"y", y}}, implementation_->scratch);
    }
}

void Layer::forward(DeviceView<const float, 3> x, DeviceView<float, 3> y, Stream stream) const {
    check_tensors(x.tensor, y.tensor, config(), device());
    const auto *cuda = dynamic_cast<const CudaContext *>(implementation_->context.get());
    if (!cuda) {
        throw DeviceError("x and y are in the memory of a CUDA device, but the layer is on " + device().id);
    }
    if (stream == stream_per_thread) {
        throw DeviceError("the stream is cudaStreamPerThread, must be one that is the same in every thread");
    }
    if (is_empty(shape_of(x.tensor))) {
        return;
    }
    cuda->check_memory("x", x.tensor.data);
    cuda->check_memory("y", y.tensor.data);
    implementation_->kernel_for(shape_of(x.tensor)).enqueue({{"x", x.tensor}, {"y", y.tensor}}, stream);
}

void Layer::synchronize() const {
    if (implementation_->context) {
        implementation_->context->synchronize();
    }
}

const Device &Layer::device() const {
    return implementation_->selection.device->info;
}

const KernelInfo &Layer::kernel_for(const Shape &shape) const {
    check_shape(shape, config(), "");
    const Selection &selection = implementation_->selection;
    const std::size_t last = selection.candidates.size() - 1;
    return selection.candidates[is_empty(shape) ? last : selection.candidate_for(shape)].kernel->info;
}

const LayerConfig &Layer::config() const {
    return implementation_->config;
}

std::size_t Layer::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
