#include "blocks/kernels.h"

#include <block_instance_norm_of_sum.h>
#include <block_layer_norm.h>
#include <block_layer_norm_of_sum.h>
#include <block_unit.h>

#include <utility>

namespace networks {
namespace {

/// The channels of a norm's parameters.
std::int64_t channels_of(const std::vector<float> &weight, const std::vector<float> &bias) {
    if (weight.size() != bias.size()) {
        throw aft::ShapeError("a norm has " + std::to_string(weight.size()) + " weights and " +
                              std::to_string(bias.size()) + " biases");
    }
    return static_cast<std::int64_t>(weight.size());
}

/// weight or bias of the norm `name`.
std::vector<float> parameter(const aft::SafetensorsFile &file, const std::string &name) {
    const auto found = file.tensors.find(name);
    const bool is_vector = found != file.tensors.end() && found->second.extents.size() == 1;
    return tensor(file, name, {is_vector ? found->second.extents[0] : 0});
}

void check_sum(View x, View added, View sum, View y, std::int64_t channels) {
    const View::Extents extents{x.extents[0], x.extents[1], channels};
    check_extents("x", x, extents);
    check_extents("added", added, extents);
    check_extents("sum", sum, extents);
    check_extents("y", y, extents);
}

}  // namespace

LayerNorm::LayerNorm(std::vector<float> weight, std::vector<float> bias, float epsilon)
    : weight_(std::move(weight)), bias_(std::move(bias)), epsilon_(epsilon) {
    channels_of(weight_, bias_);
}

LayerNorm::LayerNorm(const aft::SafetensorsFile &file, const std::string &name, float epsilon)
    : LayerNorm(parameter(file, name + ".weight"), parameter(file, name + ".bias"), epsilon) {}

void LayerNorm::forward(View x, Result y) const {
    const View::Extents extents{x.extents[0], x.extents[1], channels_of(weight_, bias_)};
    check_extents("x", x, extents);
    check_extents("y", y, extents);
    if (!is_empty(x)) {
        check_code("layer_norm", block_layer_norm(buffer(x), buffer(weight_), buffer(bias_), epsilon_, buffer(y)));
    }
}

void LayerNorm::forward(View x, View added, Result sum, Result y) const {
    check_sum(x, added, sum, y, channels_of(weight_, bias_));
    if (!is_empty(x)) {
        check_code("layer_norm_of_sum", block_layer_norm_of_sum(buffer(x), buffer(weight_), buffer(bias_), epsilon_,
                                                                buffer(added), buffer(sum), buffer(y)));
    }
}

InstanceNorm::InstanceNorm(std::vector<float> weight, std::vector<float> bias, float epsilon)
    : weight_(std::move(weight)), bias_(std::move(bias)), epsilon_(epsilon) {
    channels_of(weight_, bias_);
}

InstanceNorm::InstanceNorm(const aft::SafetensorsFile &file, const std::string &name, float epsilon)
    : InstanceNorm(parameter(file, name + ".weight"), parameter(file, name + ".bias"), epsilon) {}

void InstanceNorm::forward(View x, View added, Result sum, Result y) const {
    check_sum(x, added, sum, y, channels_of(weight_, bias_));
    if (!is_empty(x)) {
        check_code("instance_norm_of_sum", block_instance_norm_of_sum(buffer(x), buffer(weight_), buffer(bias_),
                                                                      epsilon_, buffer(added), buffer(sum), buffer(y)));
    }
}

void unit(View x, Result y) {
    check_extents("y", y, x.extents);
    check_extents("x", x, x.extents);
    if (!is_empty(x)) {
        check_code("unit", block_unit(buffer(x), buffer(y)));
    }
}

}  // namespace networks
