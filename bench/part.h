#pragma once

#include "reference/benchmark_problems.h"

#include <aft/device.h>
#include <aft/kernels.h>

#include <memory>

namespace aft::bench {

/// A projection or a weighted mean alone, by one kernel, on tensors that lie where the kernel runs.
class Part {
public:
    /// `call`, the tensors of the problem, must live as long. Throws ConfigError when the kernel can't do the problem.
    Part(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call, const KernelInfo &kernel,
         const Device &device);
    ~Part();
    Part(const Part &) = delete;
    Part &operator=(const Part &) = delete;

    /// Leaves the result there. Throws ShapeError when the kernel can't do the problem; KernelError, DeviceError.
    void run();
    /// Computes y, on the host: [batch, seq, projected].
    void run_to(TensorView<float, 3> y);

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft::bench
