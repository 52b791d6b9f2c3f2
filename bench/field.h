#pragma once

#include "arena.h"
#include "comparison.h"
#include "cuda_device.h"
#include "probes.h"
#include "rounds.h"

#include <optional>
#include <vector>

namespace aft::bench {

/// A device that takes part: how it is reached, and its ceilings.
struct Site {
    DeviceResult result;
    std::optional<CudaDevice> cuda;
    CeilingProbes ceilings;

    Site(const Device &device, int threads);
};

/// What runs in turn on one problem on one device.
class Field {
public:
    Field(Site &site, const Problem &problem, double min_seconds);

    /// Checks a kernel, which is timed if it is right. One that can't do the problem goes to `skipped`.
    void enter(const KernelInfo &kernel, std::vector<Skip> &skipped);

    /// cuBLAS on the layer's products; why it isn't there is told in the site's result.
    void enter_cublas();

    /// Whether a kernel of this entry is in.
    bool has(const std::string &entry) const;

    std::vector<Measurement> measurements;
    std::vector<Contestant> contestants;  // the same, in the same order; a wrong one has a failure and isn't run

private:
    Site &site_;
    const Problem &problem_;
    double min_seconds_;
    Arena arena_;
};

bool is_cublas(const Measurement &measurement);

}  // namespace aft::bench
