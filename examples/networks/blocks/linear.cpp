#include "blocks/kernels.h"

#include <block_linear_gelu.h>
#include <block_linear_gelu_of_few_rows.h>
#include <block_linear_none.h>
#include <block_linear_none_of_few_rows.h>
#include <block_linear_relu.h>
#include <block_linear_relu_of_few_rows.h>
#include <block_linear_residual.h>
#include <block_linear_residual_of_few_rows.h>
#include <block_linear_tanh.h>
#include <block_linear_tanh_of_few_rows.h>
#include <block_prepare_linear.h>

namespace networks {
namespace {

/// Up to so many rows, jobs are groups of channels and a tile has two rows.
constexpr std::int64_t few_rows = 4;

using Kernel = int (*)(halide_buffer_t *x, halide_buffer_t *b, halide_buffer_t *w, halide_buffer_t *y);

Kernel kernel_for(Activation activation, bool is_short) {
    switch (activation) {
        case Activation::relu: return is_short ? block_linear_relu_of_few_rows : block_linear_relu;
        case Activation::gelu: return is_short ? block_linear_gelu_of_few_rows : block_linear_gelu;
        case Activation::tanh: return is_short ? block_linear_tanh_of_few_rows : block_linear_tanh;
        case Activation::none: break;
    }
    return is_short ? block_linear_none_of_few_rows : block_linear_none;
}

bool has_no_gaps(View view) {
    return view.extents[0] == 1 || view.strides[0] == view.extents[1] * view.strides[1];
}

/// The rows of all samples as those of one, where they lie side by side, so that only one tile has rows to spare.
template<typename T>
aft::TensorView<T, 3> joined_if(bool joins, const aft::TensorView<T, 3> &view) {
    if (!joins) {
        return view;
    }
    return {view.data, {1, view.extents[0] * view.extents[1], view.extents[2]}, {0, view.strides[1], 1}};
}

template<typename T>
Halide::Runtime::Buffer<T, 3> of_panels(T *panels, const std::array<int, 3> &extents) {
    return Halide::Runtime::Buffer<T, 3>(panels, extents[0], extents[1], extents[2]);
}

std::int64_t extent_of_weight(const aft::SafetensorsFile &file, const std::string &name, std::size_t dimension) {
    const auto found = file.tensors.find(name + ".weight");
    if (found == file.tensors.end() || found->second.extents.size() != 2) {
        throw aft::WeightsError(file.path + ": " + name + ".weight is missing, or no matrix");
    }
    return found->second.extents[dimension];
}

}  // namespace

Linear::Linear(std::int64_t inputs, std::int64_t outputs, const std::vector<float> &weight, std::vector<float> bias,
               Activation activation)
    : inputs_(inputs), outputs_(outputs), bias_(std::move(bias)), activation_(activation) {
    if (inputs < 1 || outputs < 1 || static_cast<std::int64_t>(weight.size()) != inputs * outputs ||
        static_cast<std::int64_t>(bias_.size()) != outputs) {
        throw aft::ShapeError("a linear map has a weight [" + std::to_string(outputs) + ", " + std::to_string(inputs) +
                              "] of " + std::to_string(weight.size()) + " values, and a bias of " +
                              std::to_string(bias_.size()));
    }
    prepare(weight);
}

Linear::Linear(const aft::SafetensorsFile &file, const std::string &name, Activation activation)
    : inputs_(extent_of_weight(file, name, 1)), outputs_(extent_of_weight(file, name, 0)),
      bias_(tensor(file, name + ".bias", {outputs_})), activation_(activation) {
    prepare(tensor(file, name + ".weight", {outputs_, inputs_}));
}

void Linear::prepare(const std::vector<float> &weight) {
    const int inputs = static_cast<int>(inputs_), outputs = static_cast<int>(outputs_);
    // The kernel says how large the panels are: a call without data is a question for the extents that it needs.
    Halide::Runtime::Buffer<float, 3> x(nullptr, inputs, 1, 1), y(nullptr, outputs, 1, 1), panels(nullptr, 0, 0, 0);
    Halide::Runtime::Buffer<float, 1> b(nullptr, outputs);
    check_code("linear", block_linear_none(x, b, panels, y));
    for (int i = 0; i < 3; ++i) {
        panel_extents_[i] = panels.dim(i).extent();
    }
    panels_.resize(panels.number_of_elements());
    check_code("prepare_linear",
               block_prepare_linear(Halide::Runtime::Buffer<const float, 2>(weight.data(), inputs, outputs),
                                    of_panels(panels_.data(), panel_extents_)));
}

void Linear::forward(View x, Result y) const {
    check_extents("x", x, {x.extents[0], x.extents[1], inputs_});
    check_extents("y", y, {x.extents[0], x.extents[1], outputs_});
    if (is_empty(x)) {
        return;
    }
    const bool joins = has_no_gaps(x) && has_no_gaps(y);
    const View rows = joined_if(joins, x);
    const Kernel kernel = kernel_for(activation_, rows.extents[1] <= few_rows);
    check_code("linear", kernel(buffer(rows), buffer(bias_), of_panels(panels_.data(), panel_extents_),
                                buffer(joined_if(joins, y))));
}

void Linear::forward(View x, View residual, Result y) const {
    check_extents("x", x, {x.extents[0], x.extents[1], inputs_});
    check_extents("residual", residual, {x.extents[0], x.extents[1], outputs_});
    check_extents("y", y, residual.extents);
    if (activation_ != Activation::none) {
        throw aft::ShapeError("a linear map with an activation adds no residual");
    }
    if (is_empty(x)) {
        return;
    }
    const bool joins = has_no_gaps(x) && has_no_gaps(residual) && has_no_gaps(y);
    const View rows = joined_if(joins, x);
    const auto kernel = rows.extents[1] <= few_rows ? block_linear_residual_of_few_rows : block_linear_residual;
    check_code("linear", kernel(buffer(rows), buffer(bias_), of_panels(panels_.data(), panel_extents_),
                                buffer(joined_if(joins, residual)), buffer(joined_if(joins, y))));
}

}  // namespace networks
