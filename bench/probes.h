#pragma once

#include "cuda_device.h"
#include "rounds.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace aft::bench {

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// The speed of a device that does nothing else, sampled in turn with the kernels: 1e9 operations or bytes a second.
struct Ceiling {
    double median = not_measured, best = not_measured;
};

/// The speeds that a device reached in the rounds of one problem.
struct RoundCeilings {
    Ceiling fma_peak_gflops, copy_gbytes_per_second;
};

/// The ceilings of a device, which take part in the rounds of every problem; what they reached is gathered over all of
/// them.
class CeilingProbes {
public:
    /// The multiply-add peak on all threads and on one, and the copy bandwidth of this machine.
    static CeilingProbes of_cpu(int threads);

    /// Multiply-add peak and copy bandwidth of the device.
    static CeilingProbes of_cuda(CudaDevice &device);

    /// None: of a device that is reached only by calls that copy x and y, no ceiling would say anything.
    CeilingProbes() = default;

    void join(std::vector<Contestant> &contestants, double min_seconds);

    /// Takes the results of those that joined, which are the last.
    RoundCeilings gather(const std::vector<Contestant> &contestants);

    /// "fma", "fma_one_thread", "copy"; over all rounds so far.
    Ceiling ceiling(const std::string &name) const;

private:
    struct Probe {
        std::string name;
        std::function<double()> call;  // returns the work that it did
        std::function<void()> finish;  // waits for it, where it was only queued
        double work = 0;
        std::vector<double> seconds;
    };
    std::vector<Probe> probes_;
};

}  // namespace aft::bench
