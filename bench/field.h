#pragma once

#include "arena.h"
#include "comparison.h"
#include "cuda_device.h"
#include "probes.h"
#include "products.h"
#include "rounds.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace aft::bench {

/// A device that takes part: how it is reached, its ceilings, and on the CPU the matrix libraries, where they are
/// wanted.
struct Site {
    DeviceResult result;
    std::optional<CudaDevice> cuda;
    CeilingProbes ceilings;
    std::vector<Products> blas;

    Site(const Device &device, int threads, bool with_blas);
};

/// The entries that run in turn on one problem on one device.
class Field {
public:
    Field(Site &site, const BenchmarkProblem &problem, double min_seconds);

    /// Checks a kernel, which is timed if it is right. One that can't do the problem goes to `skipped`.
    void enter(const KernelInfo &kernel, std::vector<Skip> &skipped);

    /// The same of a whole layer on the kernels that the library chooses.
    void enter_layer(const std::string &storage, std::vector<Skip> &skipped);

    /// Checks the device's matrix libraries, which are timed if they are right: those of the CPU, or cuBLAS on the
    /// layer's products; why that isn't there is told in the site's result.
    void enter_blas();

    /// Whether a kernel of this entry is in.
    bool has(const std::string &entry) const;

    std::vector<Measurement> measurements;
    std::vector<Contestant> contestants;  // the same, in the same order; a wrong one has a failure and isn't run

private:
    void enter(const KernelInfo &info, const std::function<Subject()> &make, std::vector<Skip> &skipped);
    void enter(const Products &products);

    Site &site_;
    const BenchmarkProblem &problem_;
    double min_seconds_;
    Arena arena_;
};

}  // namespace aft::bench
