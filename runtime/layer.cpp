#include "parameters.h"
#include "prepared_kernel.h"

#include <aft/error.h>
#include <aft/layer.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <sstream>
#include <string>

namespace aft {
namespace {

std::string at_least(const char *what, std::int64_t minimum, std::int64_t value) {
    return std::string("takes ") + what + " >= " + std::to_string(minimum) + ", not " + std::to_string(value);
}

std::string number(float value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

/// Why a kernel can't serve a layer; empty when it can.
std::string objection(const KernelInfo &kernel, const LayerConfig &config, const BiasRange &bias) {
    const MinimumExtents &minimum = kernel.minimum;
    if (kernel.layer != config.kind) {
        return "is a kernel of layer " + std::string(name(kernel.layer)) + ", not " + std::string(name(config.kind));
    }
    if (!kernel.usable) {
        return "can't run here: " + kernel.reason;
    }
    if (config.hidden < minimum.hidden) {
        return at_least("hidden", minimum.hidden, config.hidden);
    }
    if (config.projected < minimum.projected) {
        return at_least("projected", minimum.projected, config.projected);
    }
    if (config.max_seq_len < minimum.seq) {
        return at_least("max_seq_len", minimum.seq, config.max_seq_len);
    }
    if (config.kind == LayerKind::local && config.window < minimum.window) {
        return at_least("window", minimum.window, config.window);
    }
    if (!kernel.any_bias_range && !(bias.range <= max_bias_range)) {
        return "takes a position bias whose rows have a range of at most " + number(max_bias_range) + ", row " +
               std::to_string(bias.row) + " has " + number(bias.range);
    }
    return "";
}

/// Why a kernel can't do a shape; empty when it can.
std::string objection(const KernelInfo &kernel, const Shape &shape) {
    if (shape.batch < kernel.minimum.batch) {
        return at_least("batch", kernel.minimum.batch, shape.batch);
    }
    if (shape.seq < kernel.minimum.seq) {
        return at_least("seq", kernel.minimum.seq, shape.seq);
    }
    return "";
}

std::size_t index_of(const std::string &id, LayerKind kind) {
    std::string ids;
    for (std::size_t i = 0; i < kernels().size(); i++) {
        const KernelInfo &kernel = kernels()[i];
        if (kernel.id == id) {
            return i;
        }
        if (kernel.layer == kind) {
            ids += (ids.empty() ? "" : ", ") + kernel.id;
        }
    }
    throw ConfigError("kernel '" + id + "' doesn't exist; layer " + std::string(name(kind)) + " has " + ids);
}

std::size_t forced_kernel(const std::string &id, const LayerConfig &config, const BiasRange &bias) {
    const std::size_t index = index_of(id, config.kind);
    const std::string why_not = objection(kernels()[index], config, bias);
    if (why_not.empty()) {
        return index;
    }
    const auto exact = std::find_if(kernels().begin(), kernels().end(), [&](const KernelInfo &kernel) {
        return kernel.any_bias_range && objection(kernel, config, bias).empty();
    });
    const bool exact_helps = !(bias.range <= max_bias_range) && exact != kernels().end();
    throw ConfigError("kernel " + id + " " + why_not + (exact_helps ? "; " + exact->id + " takes any" : ""));
}

/// The kernels that may run, in order of preference, up to the first that takes every shape.
std::vector<std::size_t> chosen_kernels(const LayerConfig &config, const BiasRange &bias) {
    std::vector<std::size_t> chosen;
    std::string objections;
    for (std::size_t i = 0; i < kernels().size(); i++) {
        const KernelInfo &kernel = kernels()[i];
        const std::string why_not = objection(kernel, config, bias);
        if (why_not.empty()) {
            chosen.push_back(i);
            if (objection(kernel, Shape{1, 1}).empty()) {
                break;
            }
        } else if (kernel.layer == config.kind) {
            objections += "; " + kernel.id + " " + why_not;
        }
    }
    if (chosen.empty()) {
        throw ConfigError("no kernel of this build can serve the layer" + objections);
    }
    return chosen;
}

std::string environment_kernel() {
    const char *id = std::getenv("AFT_KERNEL");
    return id ? id : "";
}

/// Checks the extents of a tensor against the layer's, and that its rows don't overlap.
template<typename T>
void check_tensor(const std::string &what, const TensorView<T, 3> &tensor, const LayerConfig &config) {
    const auto [batch, seq, hidden] = tensor.extents;
    const auto [batch_stride, row_stride, channel_stride] = tensor.strides;
    auto fail = [&](const char *which, std::int64_t value, const std::string &limit) {
        throw ShapeError(what + ": " + which + " is " + std::to_string(value) + ", must be " + limit);
    };
    if (!tensor.data) {
        throw ShapeError(what + ": data is null");
    }
    if (batch < 1) {
        fail("batch", batch, "at least 1");
    }
    if (seq < 1 || seq > config.max_seq_len) {
        fail("seq", seq, "1 to max_seq_len " + std::to_string(config.max_seq_len));
    }
    if (hidden != config.hidden) {
        fail("hidden", hidden, std::to_string(config.hidden));
    }
    if (channel_stride != 1 && hidden > 1) {
        fail("the stride of the channels", channel_stride, "1");
    }
    // Innermost first: rows inside samples, or samples inside rows (time-major tensors).
    struct Dimension {
        const char *which;
        std::int64_t extent, stride;
    };
    Dimension inner{"the row stride", seq, row_stride}, outer{"the batch stride", batch, batch_stride};
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
                     std::to_string(dimension.extent) + " of them");
        }
        span += (dimension.extent - 1) * dimension.stride;
    }
}

/// One past the last element.
template<typename T>
T *end_of(const TensorView<T, 3> &tensor) {
    std::int64_t last = 0;
    for (int i = 0; i < 3; i++) {
        last += (tensor.extents[i] - 1) * tensor.strides[i];
    }
    return tensor.data + last + 1;
}

}  // namespace

struct Layer::Implementation {
    LayerConfig config;
    std::deque<PreparedKernel> kernels;
    ScratchPool scratch;

    const PreparedKernel &kernel_for(const Shape &shape) const {
        for (const PreparedKernel &kernel : kernels) {
            if (objection(kernel.info(), shape).empty()) {
                return kernel;
            }
        }
        const KernelInfo &last = kernels.back().info();
        throw ShapeError("kernel " + last.id + " " + objection(last, shape));
    }
};

Layer::Layer(const LayerConfig &config, const Weights &weights, const LayerOptions &options)
    : implementation_(std::make_unique<Implementation>()) {
    check_config(config);
    check_weights(weights, config);
    const BiasRange bias = widest_bias_range(weights, config);
    const std::string forced = options.kernel.empty() ? environment_kernel() : options.kernel;
    const std::vector<std::size_t> chosen =
        forced.empty() ? chosen_kernels(config, bias) : std::vector{forced_kernel(forced, config, bias)};
    implementation_->config = config;
    for (std::size_t i : chosen) {
        implementation_->kernels.emplace_back(kernel_rows[i], kernels()[i], config, weights);
    }
}

Layer::~Layer() = default;
Layer::Layer(Layer &&) noexcept = default;
Layer &Layer::operator=(Layer &&) noexcept = default;

void Layer::forward(TensorView<const float, 3> x, TensorView<float, 3> y) const {
    check_tensor("x", x, config());
    check_tensor("y", y, config());
    if (x.extents != y.extents) {
        throw ShapeError("y is " + to_string({y.extents.begin(), y.extents.end()}) + ", must be as x " +
                         to_string({x.extents.begin(), x.extents.end()}));
    }
    const std::less<const float *> before;
    if (before(x.data, end_of(y)) && before(y.data, end_of(x))) {
        throw ShapeError("y overlaps x in memory");
    }
    implementation_->kernel_for({x.extents[0], x.extents[1]}).forward(x, y, implementation_->scratch);
}

const KernelInfo &Layer::kernel_for(const Shape &shape) const {
    if (shape.batch < 1) {
        throw ShapeError("batch is " + std::to_string(shape.batch) + ", must be at least 1");
    }
    if (shape.seq < 1 || shape.seq > config().max_seq_len) {
        throw ShapeError("seq is " + std::to_string(shape.seq) + ", must be 1 to max_seq_len " +
                         std::to_string(config().max_seq_len));
    }
    return implementation_->kernel_for(shape).info();
}

const LayerConfig &Layer::config() const {
    return implementation_->config;
}

std::size_t Layer::scratch_bytes() const {
    return implementation_->scratch.bytes();
}

}  // namespace aft
