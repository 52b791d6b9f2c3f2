#pragma once

#include <cstddef>
#include <limits>
#include <vector>

namespace aft::bench {

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// Multiply-add peaks, 1e9 operations a second: of the device, and of the instruction set that a kernel is compiled
/// for, where there is more than one.
struct Peaks {
    double device = not_measured, isa = not_measured;
};

/// The peaks right before and right after the calls of a round.
struct RoundPeaks {
    Peaks before, after;
};

/// The part of the peak that a contestant reached.
struct PeakShares {
    Peaks peaks;                                                   ///< their medians; not_measured like the percentages
    double percent = not_measured, percent_of_isa = not_measured;  ///< medians over the rounds
    double best_percent = not_measured;                            ///< best round over the best peak
    int rounds_left_out = 0;
};

/// Below this part of the best peak, something else had the processors.
inline constexpr double least_peak = 0.9;

/// With fewer rounds that count, no share is known.
inline constexpr std::size_t least_rounds = 3;

/// The shares over the rounds that count. A round doesn't count if, before it or after it, a peak was below
/// `least_peak` of the best one, or if the contestant was faster in it than both of its instruction set: nothing is
/// faster than that peak, which must have dropped.
///     percent = work / seconds / the higher of the peaks before and after
/// work: operations of a call. seconds: of a call, for each round. peaks: for each round; empty of a device without a
/// peak, where all rounds count and nothing is known. best: peaks in any round beside which the contestant ran.
PeakShares shares_of_peak(double work, const std::vector<double> &seconds, const std::vector<RoundPeaks> &peaks,
                          const Peaks &best);

}  // namespace aft::bench
