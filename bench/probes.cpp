#include "probes.h"

#include "ceilings.h"

#include <algorithm>
#include <memory>

namespace aft::bench {

namespace {

Ceiling ceiling_of(double work, const std::vector<double> &seconds) {
    if (seconds.empty()) {
        return {};
    }
    return {work / median(seconds) / 1e9, work / *std::min_element(seconds.begin(), seconds.end()) / 1e9};
}

}  // namespace

CeilingProbes CeilingProbes::of_cpu(int threads) {
    CeilingProbes all;
    const auto copy = std::make_shared<CopyLoop>();
    all.probes_.push_back({"fma", [threads] { return fma_loop(threads); }, {}, 0, {}});
    all.probes_.push_back({"fma_one_thread", [] { return fma_loop(1); }, {}, 0, {}});
    all.probes_.push_back({"copy", [copy, threads] { return (*copy)(threads); }, {}, 0, {}});
    return all;
}

CeilingProbes CeilingProbes::of_cuda(CudaDevice &device) {
    CeilingProbes all;
    const auto wait = [&device] { device.synchronize(); };
    all.probes_.push_back({"fma", [&device] { return device.fma_loop(); }, wait, 0, {}});
    all.probes_.push_back({"copy", [&device] { return device.copy_loop(); }, wait, 0, {}});
    for (const Probe &each : all.probes_) {  // the driver assembles, loads and allocates: not in the first round
        each.call();
        each.finish();
    }
    return all;
}

void CeilingProbes::join(std::vector<Contestant> &contestants, double min_seconds) {
    constexpr double estimate = 0.005;
    for (Probe &each : probes_) {
        contestants.push_back({each.name, [&each] { each.work = each.call(); }, estimate, min_seconds, each.finish});
    }
}

RoundCeilings CeilingProbes::gather(const std::vector<Contestant> &contestants) {
    RoundCeilings reached;
    const std::size_t first = contestants.size() - probes_.size();
    for (std::size_t i = 0; i < probes_.size(); ++i) {
        Probe &probe = probes_[i];
        const std::vector<double> &seconds = contestants[first + i].seconds;
        probe.seconds.insert(probe.seconds.end(), seconds.begin(), seconds.end());
        if (probe.name == "fma") {
            reached.fma_peak_gflops = ceiling_of(probe.work, seconds);
        } else if (probe.name == "copy") {
            reached.copy_gbytes_per_second = ceiling_of(probe.work, seconds);
        }
    }
    return reached;
}

Ceiling CeilingProbes::ceiling(const std::string &name) const {
    for (const Probe &each : probes_) {
        if (each.name == name) {
            return ceiling_of(each.work, each.seconds);
        }
    }
    return {};
}

}  // namespace aft::bench
