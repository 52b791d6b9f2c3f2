#pragma once

/// @file
/// The parts that stand between the AFT layers of a network. Activations are rows of float32 as those of aft::Layer:
/// [batch, rows, channels], channels side by side, rows and samples at any distance. Results are overwritten fully.
/// Kernels run on the threads of aft, once the program has made an aft::Layer. Thread-safe. All throw aft::ShapeError,
/// before they write, for extents that don't fit, and aft::KernelError when memory runs out.

#include <aft/aft.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace networks {

using View = aft::TensorView<const float, 3>;
using Result = aft::TensorView<float, 3>;

/// The values of a tensor of a file. Throws aft::WeightsError if the file doesn't have it with these extents.
std::vector<float> tensor(const aft::SafetensorsFile &file, const std::string &name,
                          const std::vector<std::int64_t> &extents);

/// Throws aft::ShapeError, which names `what`, unless a view has these extents, and channels side by side.
void check_extents(const std::string &what, View view, const View::Extents &expected);

/// The function that follows a linear map.
enum class Activation { none, relu, gelu, tanh };

/// y = activation(x W^T + b).
class Linear {
public:
    /// weight: [outputs, inputs], bias: [outputs].
    Linear(std::int64_t inputs, std::int64_t outputs, const std::vector<float> &weight, std::vector<float> bias,
           Activation activation = Activation::none);
    /// The tensors `name`.weight and `name`.bias of a file, as PyTorch's Linear has them.
    Linear(const aft::SafetensorsFile &file, const std::string &name, Activation activation = Activation::none);

    /// x: [batch, rows, inputs], y: [batch, rows, outputs], which must not overlap x.
    void forward(View x, Result y) const;
    /// y = x W^T + b + residual, of a map without an activation. residual: [batch, rows, outputs]; y may be the same.
    void forward(View x, View residual, Result y) const;

    std::int64_t inputs() const {
        return inputs_;
    }
    std::int64_t outputs() const {
        return outputs_;
    }

private:
    void prepare(const std::vector<float> &weight);

    std::int64_t inputs_, outputs_;
    std::vector<float> bias_;
    Activation activation_;
    std::vector<float> panels_;         // the weight as the kernels read it
    std::array<int, 3> panel_extents_;  // (lane, step, panel)
};

/// (x - mean) / sqrt(variance + epsilon) weight + bias, with the mean and the variance of the channels of each row.
class LayerNorm {
public:
    /// weight, bias: [channels].
    LayerNorm(std::vector<float> weight, std::vector<float> bias, float epsilon);
    /// The tensors `name`.weight and `name`.bias of a file, as PyTorch's LayerNorm has them.
    LayerNorm(const aft::SafetensorsFile &file, const std::string &name, float epsilon);

    /// y = norm(x). y may be x.
    void forward(View x, Result y) const;
    /// sum = x + added, y = norm(sum). sum may be x or added.
    void forward(View x, View added, Result sum, Result y) const;

private:
    std::vector<float> weight_, bias_;
    float epsilon_;
};

/// The same with the mean and the variance of the rows of each channel of each sample, as PyTorch's InstanceNorm1d.
class InstanceNorm {
public:
    /// weight, bias: [channels].
    InstanceNorm(std::vector<float> weight, std::vector<float> bias, float epsilon);
    /// The tensors `name`.weight and `name`.bias of a file.
    InstanceNorm(const aft::SafetensorsFile &file, const std::string &name, float epsilon);

    /// sum = x + added, y = norm(sum). sum may be x or added.
    void forward(View x, View added, Result sum, Result y) const;

private:
    std::vector<float> weight_, bias_;
    float epsilon_;
};

/// y = x / max(|x|, 1e-12) for each row. y may be x.
void unit(View x, Result y);

}  // namespace networks
