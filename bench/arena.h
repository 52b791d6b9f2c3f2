#pragma once

#include "cuda_device.h"

#include "reference/benchmark_problems.h"
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

/// Something that computes a problem, again and again.
struct Subject {
    std::function<void()> call;    ///< what is timed
    std::function<void()> finish;  ///< waits for what `call` only queued; empty where nothing is queued
    /// The same, once; the result comes into the arena's output.
    std::function<void()> to_arena;
    bool is_on_device = false;  ///< no tensor is copied between host and device
    /// Instead of to_arena, where there are other results: those that are compared, and whether all are finite.
    std::function<std::vector<float>(bool &all_finite)> results = {};
};

/// A problem with its data and its right answer, for the contestants of one device.
class Arena {
public:
    /// The x and y of plain layers lie in the memory of `cuda`, where that is given, and else on the host.
    Arena(const BenchmarkProblem &problem, CudaDevice *cuda);

    /// A kernel of the problem's operation. It and its calls throw ConfigError or ShapeError when the kernel can't do
    /// the problem; KernelError, DeviceError.
    Subject kernel(const KernelInfo &kernel, const Device &device);
    /// A whole layer on the kernels that the library chooses. Throws as kernel().
    Subject layer(const Device &device, const std::string &storage);

    /// Compares the output, which is NaN before. `allowed`: how far it may be off, in tolerances. Throws what the
    /// subject throws.
    void check(const Subject &subject, double allowed, double &max_error, std::string &failure);

    /// Floating-point operations that no implementation can leave out.
    double work() const;
    /// The bytes of the projections' weights in this storage, and of the state that `layer()` steps.
    double bytes_of_step(const std::string &storage) const;

    /// On the host: x of a layer, and the result.
    TensorView<const float, 3> input() const {
        return call_.layer.query;
    }
    TensorView<float, 3> output() {
        return {y_.data(), extents_};
    }

    const Weights &weights() const {
        return weights_;
    }
    const std::vector<float> &x() const {
        return call_.query;
    }

private:
    Subject training(const LayerOptions &options);
    Subject plain_layer(const std::shared_ptr<const Layer> &layer);
    Subject step(const std::shared_ptr<const Layer> &layer);
    Subject kept_sources(const std::shared_ptr<const Layer> &layer);
    std::vector<float> output_of(const Subject &subject, bool &all_finite);

    BenchmarkProblem problem_;
    Weights weights_;
    CallTensors call_;
    TensorView<float, 3>::Extents extents_;  // of the output
    std::vector<float> y_;
    std::optional<CudaDevice::Floats> device_x_, device_y_;
    std::int64_t compared_samples_, sample_step_;  // every sample_step_-th one is compared
    std::vector<std::int64_t> rows_;               // of the output, which are compared in each of them
    Reference reference_;
};

}  // namespace aft::bench
