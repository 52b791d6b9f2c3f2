#pragma once

#include "cuda_device.h"

#include "reference/problem.h"
#include "reference/reference.h"

#include <aft/device.h>
#include <aft/layer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace aft::bench {

/// A problem with its data and its right answer, for the kernels of one device. All of them write to the same y.
class Arena {
public:
    /// x and y lie in the memory of `cuda`, where that is given, and else on the host.
    Arena(const Problem &problem, CudaDevice *cuda);

    /// Throws ConfigError or ShapeError when the kernel can't do the problem.
    std::shared_ptr<const Layer> layer(const KernelInfo &kernel, const Device &device) const;

    /// On CUDA the call is queued, until finish().
    void forward(const Layer &layer);
    void finish(const Layer &layer);

    /// Runs the layer on a y of NaN. Throws KernelError or DeviceError.
    void check(const KernelInfo &kernel, const Layer &layer, double &max_error, std::string &failure);

    /// The same for anything that computes output() from input(), and what `run` throws.
    void check(const KernelInfo &kernel, const std::function<void()> &run, double &max_error, std::string &failure);

    TensorView<const float, 3> input() const {
        return view<const float>(x_.data());
    }
    TensorView<float, 3> output() {
        return view(y_.data());
    }

    const Weights &weights() const {
        return weights_;
    }
    const std::vector<float> &x() const {
        return x_;
    }

private:
    /// A view of x or y in the memory that the device's kernels take them from.
    template<typename T>
    TensorView<T, 3> view(T *data) const {
        return {data, {problem_.shape.batch, problem_.shape.seq, problem_.config.hidden}};
    }

    Problem problem_;
    Weights weights_;
    std::vector<float> x_, y_;
    std::optional<CudaDevice::Floats> device_x_, device_y_;
    std::vector<std::int64_t> samples_,
        rows_;  // that are compared, every one of these rows of every one of the samples
    Reference reference_;
};

}  // namespace aft::bench
