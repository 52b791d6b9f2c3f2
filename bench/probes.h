#pragma once

#include "cuda_device.h"
#include "peaks.h"
#include "rounds.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace aft::bench {

/// The speed of a device that does nothing else, sampled in turn with the kernels: 1e9 operations or bytes a second.
struct Ceiling {
    double median = not_measured, best = not_measured;
};

/// The ceilings of a device, which are measured beside the kernels of every problem; what they reached is gathered over
/// all of them.
class CeilingProbes {
public:
    /// The multiply-add peak on all threads and on one, and the copy bandwidth of this machine.
    static CeilingProbes of_cpu(int threads);

    /// Multiply-add peak and copy bandwidth of the device.
    static CeilingProbes of_cuda(CudaDevice &device);

    /// None: of a device that is reached only by calls that copy x and y, no ceiling would say anything.
    CeilingProbes() = default;

    /// Contestant::peaks of a kernel of that instruction set (isa_of()); "" of what isn't compiled for one.
    std::shared_ptr<const std::function<Peaks()>> peaks(const std::string &isa);

    /// Adds what is measured in turn with the contestants. They must not outlive this.
    void join(std::vector<Contestant> &contestants, double min_seconds);

    /// Takes the results of those that joined, and the peaks of all. Returns the copy bandwidth in these rounds.
    Ceiling gather(const std::vector<Contestant> &contestants);

    /// "fma", "fma_one_thread", "copy"; over all rounds so far.
    Ceiling ceiling(const std::string &name) const;

private:
    struct Probe {
        std::string name;
        std::function<double()> speed;  // 1e9 operations or bytes a second
        std::vector<double> speeds;
    };
    std::function<double(const std::string &isa)> fma_;                           // "": that of the device
    std::map<std::string, std::shared_ptr<const std::function<Peaks()>>> peaks_;  // by instruction set
    std::vector<double> fma_speeds_;
    std::vector<Probe> probes_;
    std::size_t copies_before_ = 0;  // values of "copy" that were gathered
};

}  // namespace aft::bench
