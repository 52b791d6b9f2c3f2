#include "layer/checks.h"

#include "halide/limits.h"
#include "weights/parameters.h"

#include <aft/error.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace aft {
namespace {

[[noreturn]] void fail(const std::string &what, const std::string &which, const std::string &value,
                       const std::string &limit) {
    throw ShapeError(what + ": " + which + " is " + value + ", must be " + limit);
}

[[noreturn]] void fail(const std::string &what, const std::string &which, std::int64_t value,
                       const std::string &limit) {
    fail(what, which, std::to_string(value), limit);
}

void check_batch_and_seq(const Shape &shape, std::int64_t longest, const char *limit_name, const std::string &where) {
    if (shape.batch < 0) {
        throw ShapeError(where + "batch is " + std::to_string(shape.batch) + ", must be at least 0");
    }
    if (shape.seq < 0 || shape.seq > longest) {
        throw ShapeError(where + "seq is " + std::to_string(shape.seq) + ", must be 0 to " + limit_name +
                         std::to_string(longest));
    }
}

template<typename T, std::size_t Rank>
std::string extents_of(const TensorView<T, Rank> &view) {
    return to_string({view.extents.begin(), view.extents.end()});
}

/// Samples may be further apart than kernels can count to, as a call may take them one by one.
constexpr std::int64_t furthest_sample = std::int64_t{1} << 60;

/// An input of any strides that don't go backwards, and in whose samples kernels can count to the last element.
template<typename T, std::size_t Rank>
void check_input(const char *what, const TensorView<T, Rank> &view, const std::array<std::int64_t, Rank> &extents) {
    if (view.extents != extents) {
        throw ShapeError(std::string(what) + " is " + extents_of(view) + ", must be " +
                         to_string({extents.begin(), extents.end()}));
    }
    std::int64_t span = 0;
    for (std::size_t i = 0; i < Rank; ++i) {
        const std::int64_t stride = view.strides[i], last = extents[i] - 1;
        if (last <= 0) {
            continue;
        }
        if (Rank > 1 && i + 1 == Rank && stride != 1) {
            fail(what, "the stride of the sources", stride, "1");
        }
        if (stride < 0) {
            fail(what, "a stride", stride, "at least 0");
        }
        const std::int64_t most = (i == 0 ? furthest_sample : max_elements - span) / last;
        if (stride > most) {
            fail(what, "a stride", stride, "at most " + std::to_string(most));
        }
        span += i == 0 ? 0 : last * stride;
    }
}

bool is_empty(const Tensor &tensor) {
    return tensor.rank == 0 || tensor.elements() == 0 || !tensor.data;
}

/// One past the last byte.
const char *end_of(const Tensor &tensor) {
    std::int64_t last = 0;
    for (std::size_t i = 0; i < tensor.rank; ++i) {
        last += (tensor.extents[i] - 1) * tensor.strides[i];
    }
    return static_cast<const char *>(tensor.data) + (last + 1) * bytes_of(tensor.element);
}

bool overlap(const char *first, const char *end, const char *other_first, const char *other_end) {
    const std::less<> before;
    return before(first, other_end) && before(other_first, end);
}

}  // namespace

std::int64_t longest_of(const LayerConfig &config) {
    return config.form.has_positions() ? config.max_seq_len : 0;
}

void check_shape(const Shape &shape, std::int64_t longest, const std::string &where) {
    check_batch_and_seq(shape, longest != 0 ? longest : max_elements, longest != 0 ? "max_seq_len " : "", where);
}

void check_tensor(const std::string &what, const TensorView<const float, 3> &tensor, const TensorRule &rule) {
    const auto [batch, seq, channels] = tensor.extents;
    const auto [batch_stride, row_stride, channel_stride] = tensor.strides;
    check_shape({batch, seq}, rule.longest, what + ": ");
    if (channels != rule.channels) {
        fail(what, rule.channels_name, channels, std::to_string(rule.channels));
    }
    if (batch == 0 || seq == 0) {
        return;
    }
    if (!tensor.data) {
        throw ShapeError(what + ": data is null");
    }
    if (channel_stride != 1 && channels > 1) {
        fail(what, "the stride of the channels", channel_stride, "1");
    }
    // Innermost first: rows inside samples, or samples inside rows (time-major tensors).
    struct Dimension {
        const char *which, *elements;
        std::int64_t extent, stride, furthest;
    };
    const bool shares_samples = rule.may_share_samples && batch_stride == 0;
    Dimension inner{"the row stride", " rows", seq, row_stride, max_elements},
        outer{"the batch stride", " samples", shares_samples ? 1 : batch, batch_stride, furthest_sample};
    if (outer.stride < inner.stride && outer.extent > 1) {
        std::swap(inner, outer);
    }
    std::int64_t span = channels;
    for (const Dimension &dimension : {inner, outer}) {
        if (dimension.extent == 1) {
            continue;
        }
        if (dimension.stride < span) {
            fail(what, dimension.which, dimension.stride, "at least " + std::to_string(span));
        }
        if (const std::int64_t most = dimension.furthest / dimension.extent; dimension.stride > most) {
            fail(what, dimension.which, dimension.stride,
                 "at most " + std::to_string(most) + " for " + std::to_string(dimension.extent) + dimension.elements);
        }
        span += (dimension.extent - 1) * dimension.stride;
    }
}

void check_same_extents(const char *what, const TensorView<const float, 3> &tensor, const Tensor &other,
                        const char *other_name) {
    if (!std::equal(tensor.extents.begin(), tensor.extents.end(), other.extents.begin())) {
        throw ShapeError(std::string(what) + " is " + extents_of(tensor) + ", must be " +
                         to_string({other.extents.begin(), other.extents.begin() + 3}) + " like " + other_name);
    }
}

void check_batch(const char *what, std::int64_t batch, const Device &device) {
    const std::int64_t largest_grid = 65535;
    if (device.api != "cpu" && batch > largest_grid) {
        throw ShapeError(std::string(what) + ": batch is " + std::to_string(batch) + ", must be at most " +
                         std::to_string(largest_grid) + " on " + device.id);
    }
}

void check_targets(const LayerConfig &config, const CallShape &shape) {
    if (config.form.has_sums() && shape.targets != shape.sources) {
        throw ShapeError("there are " + std::to_string(shape.targets) + " targets, must be as many as sources, " +
                         std::to_string(shape.sources) + ", for layer " + std::string(name(config.form)));
    }
}

void check_sight(const Sight &sight, const LayerForm &form, const CallShape &shape) {
    const auto [B, n, m] = shape;
    const bool is_empty_call = B == 0 || n == 0 || m == 0;
    if (form.takes_bias()) {
        if (!sight.position_bias.data && !is_empty_call) {
            throw ShapeError("position_bias: data is null, must be " + to_string({B, n, m}) + " for layer " +
                             std::string(name(form)));
        }
        if (sight.position_bias.data) {
            check_input<const float, 3>("position_bias", sight.position_bias, {B, n, m});
        }
        if (!std::isfinite(sight.bias_scale)) {
            fail("position_bias", "bias_scale", std::to_string(sight.bias_scale), "finite");
        }
    } else if (sight.position_bias.data || sight.bias_scale != 1) {
        throw ShapeError(std::string(sight.position_bias.data ? "position_bias" : "bias_scale") +
                         " is given, but layer " + std::string(name(form)) + " takes none");
    }
    if (sight.lengths.data) {
        check_input<const std::int64_t, 1>("lengths", sight.lengths, {B});
        for (std::int64_t b = 0; b < B; ++b) {
            const std::int64_t length = sight.lengths.data[b * sight.lengths.strides[0]];
            if (length < 0 || length > m) {
                fail("lengths", "sample " + std::to_string(b), length, "0 to " + std::to_string(m));
            }
        }
    }
    if (sight.mask.data != nullptr) {
        check_input<const bool, 3>("mask", sight.mask, {B, n, m});
        if (form.varies_by_channel() && has_mask_of_pairs(sight)) {
            fail("mask", "the stride of the targets", sight.mask.strides[1],
                 "0: layer " + std::string(name(form)) + " takes masks of sources, not of pairs");
        }
    }
}

CallShape check_core_call(const CoreCall &call, const char *name, const TensorView<float, 3> &y,
                          const LayerConfig &config, const Device &device) {
    const std::int64_t longest = longest_of(config), P = config.projected;
    const CallShape shape{y.extents[0], y.extents[1], call.key.extents[1]};
    if (config.form.has_query()) {
        check_tensor("query", call.query, {"projected", P, longest, true});
        check_same_extents(name, y, call.query, "query");
    }
    check_tensor(name, y, {"projected", P, longest});
    check_tensor("key", call.key, {"projected", P, longest, true});
    check_tensor("value", call.value, {"projected", P, longest, true});
    check_batch(name, shape.batch, device);
    check_same_extents("value", call.value, call.key, "key");
    if (call.key.extents[0] != shape.batch) {
        throw ShapeError("key: batch is " + std::to_string(call.key.extents[0]) + ", must be " +
                         std::to_string(shape.batch) + " like " + name);
    }
    check_targets(config, shape);
    return shape;
}

void check_apart(const char *output_name, const Tensor &output, const CoreCall &call) {
    check_apart(output_name, output, "query", call.query);
    check_apart(output_name, output, "key", call.key);
    check_apart(output_name, output, "value", call.value);
    check_apart(output_name, output, call.sight);
}

void check_apart(const char *output_name, const Tensor &output, const char *name, const Tensor &input) {
    if (!is_empty(output) && !is_empty(input) &&
        overlap(static_cast<const char *>(output.data), end_of(output), static_cast<const char *>(input.data),
                end_of(input))) {
        throw ShapeError(std::string(output_name) + " overlaps " + name + " in memory");
    }
}

void check_apart(const char *output_name, const Tensor &output, const Sight &sight) {
    check_apart(output_name, output, "position_bias", sight.position_bias);
    check_apart(output_name, output, "mask", sight.mask);
    const auto &lengths = sight.lengths;
    if (lengths.data && lengths.extents[0] > 0 && !is_empty(output)) {
        const auto *last = lengths.data + (lengths.extents[0] - 1) * lengths.strides[0];
        if (overlap(static_cast<const char *>(output.data), end_of(output),
                    reinterpret_cast<const char *>(lengths.data), reinterpret_cast<const char *>(last + 1))) {
            throw ShapeError(std::string(output_name) + " overlaps lengths in memory");
        }
    }
}

bool has_mask_of_pairs(const Sight &sight) {
    return sight.mask.data && sight.mask.extents[1] > 1 && sight.mask.strides[1] != 0;
}

}  // namespace aft
