#include "peaks.h"

#include "rounds.h"

#include <algorithm>
#include <cmath>

namespace aft::bench {

namespace {

// Whether a peak was there all the time; of one that isn't measured, nothing is known.
bool held(double before, double after, double best) {
    const double least = least_peak * best;
    return std::isnan(best) || (before >= least && after >= least);
}

// The peak of the contestant's own instruction set: with bfloat16, the higher one.
double highest(const RoundPeaks &peaks) {
    const double of_isa = std::max(peaks.before.isa, peaks.after.isa);
    return std::isnan(of_isa) ? std::max(peaks.before.device, peaks.after.device) : of_isa;
}

}  // namespace

PeakShares shares_of_peak(double work, const std::vector<double> &seconds, const std::vector<RoundPeaks> &peaks,
                          const Peaks &best) {
    PeakShares shares;
    std::vector<double> of_device, of_isa, device_peaks, isa_peaks;
    double best_gflops = not_measured;
    for (std::size_t i = 0; i < peaks.size(); ++i) {
        const auto &[before, after] = peaks[i];
        const double gflops = work / seconds[i] / 1e9;
        if (!held(before.device, after.device, best.device) || !held(before.isa, after.isa, best.isa) ||
            !(gflops <= highest(peaks[i]))) {
            ++shares.rounds_left_out;
            continue;
        }
        device_peaks.push_back(std::max(before.device, after.device));
        isa_peaks.push_back(std::max(before.isa, after.isa));
        of_device.push_back(100 * gflops / device_peaks.back());
        of_isa.push_back(100 * gflops / isa_peaks.back());
        best_gflops = std::fmax(best_gflops, gflops);
    }
    if (of_device.size() < least_rounds) {
        return shares;
    }
    shares.peaks = {median(device_peaks), median(isa_peaks)};
    shares.percent = median(of_device);
    shares.percent_of_isa = median(of_isa);
    shares.best_percent = 100 * best_gflops / best.device;
    return shares;
}

}  // namespace aft::bench
