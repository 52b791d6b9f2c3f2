#include "probes.h"

#include "ceilings.h"

#include <algorithm>
#include <chrono>
#include <memory>

namespace aft::bench {

namespace {

Ceiling ceiling_of(const std::vector<double> &speeds) {
    return speeds.empty() ? Ceiling{} : Ceiling{median(speeds), *std::max_element(speeds.begin(), speeds.end())};
}

// 1e9 of what `call` returns in a second; it may take as long as it likes.
template<typename Call>
double speed_of(const Call &call) {
    const auto start = std::chrono::steady_clock::now();
    const double work = call();
    return work / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / 1e9;
}

}  // namespace

CeilingProbes CeilingProbes::of_cpu(int threads) {
    CeilingProbes all;
    const auto copy = std::make_shared<CopyLoop>();
    all.fma_ = [threads](const std::string &isa) { return fma_gflops(isa.empty() ? machine_isa() : isa, threads); };
    all.probes_.push_back({"fma_one_thread", [] { return fma_gflops(machine_isa(), 1); }, {}});
    all.probes_.push_back({"copy", [copy, threads] { return speed_of([&] { return (*copy)(threads); }); }, {}});
    return all;
}

CeilingProbes CeilingProbes::of_cuda(CudaDevice &device) {
    CeilingProbes all;
    const auto fma = [&device] {
        const double work = device.fma_loop();
        device.synchronize();
        return work;
    };
    const auto copy = [&device] {
        const double work = device.copy_loop();
        device.synchronize();
        return work;
    };
    fma();  // the driver assembles, loads and allocates: not in the first round
    copy();
    all.fma_ = [fma](const std::string &) { return speed_of(fma); };
    all.probes_.push_back({"copy", [copy] { return speed_of(copy); }, {}});
    return all;
}

std::shared_ptr<const std::function<Peaks()>> CeilingProbes::peaks(const std::string &isa) {
    std::shared_ptr<const std::function<Peaks()>> &found = peaks_[isa];
    if (fma_ && !found) {
        const auto measure = [fma = fma_, isa, is_device = isa == machine_isa()] {
            const double device = fma("");
            return Peaks{device, is_device ? device : isa.empty() ? not_measured : fma(isa)};
        };
        found = std::make_shared<const std::function<Peaks()>>(measure);
    }
    return found;
}

void CeilingProbes::join(std::vector<Contestant> &contestants, double min_seconds) {
    constexpr double estimate = 0.005;
    for (Probe &each : probes_) {
        contestants.push_back({each.name, [&each] { each.speeds.push_back(each.speed()); }, estimate, min_seconds});
    }
}

Ceiling CeilingProbes::gather(const std::vector<Contestant> &contestants) {
    for (const Contestant &contestant : contestants) {
        for (const RoundPeaks &each : contestant.peaks_around) {
            fma_speeds_.push_back(each.before.device);
            fma_speeds_.push_back(each.after.device);
        }
    }
    for (const Probe &each : probes_) {
        if (each.name == "copy") {
            const auto first = each.speeds.begin() + static_cast<std::ptrdiff_t>(copies_before_);
            copies_before_ = each.speeds.size();
            return ceiling_of({first, each.speeds.end()});
        }
    }
    return {};
}

Ceiling CeilingProbes::ceiling(const std::string &name) const {
    if (name == "fma") {
        return ceiling_of(fma_speeds_);
    }
    for (const Probe &each : probes_) {
        if (each.name == name) {
            return ceiling_of(each.speeds);
        }
    }
    return {};
}

}  // namespace aft::bench
