#pragma once

#include "peaks.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace aft::bench {

/// One of the things that are measured in turn.
struct Contestant {
    std::string name;                   ///< unique among its opponents
    std::function<void()> call;         ///< may throw: it is out from then on
    double estimate = 0;                ///< seconds that a call is expected to take
    double min_seconds = 0;             ///< to be measured for, at least
    std::function<void()> finish = {};  ///< waits for what the calls of a round only queued: part of the round's time
    int rounds = 20;                    ///< that its seconds are spread over; slow calls need more than their seconds

    /// Measures the peaks of the device, right before and right after the calls of a round: no part of its time. Where
    /// neighbours share it, what is after the first is before the second.
    std::shared_ptr<const std::function<Peaks()>> peaks = {};

    std::vector<double> seconds = {};           ///< per call, one value for each round
    std::vector<RoundPeaks> peaks_around = {};  ///< the same rounds; empty without `peaks`
    std::string failure = {};                   ///< what `call` threw
};

/// Measures every contestant once in each round, the next round in the same order, so that whatever else the machine
/// does meanwhile falls on all of them alike; a contestant leaves after its min_seconds, though not before 3 rounds.
/// Google Benchmark does the timing. `after_round` may show progress, and ends the measurement by returning false.
void measure_in_turn(std::vector<Contestant> &contestants, const std::function<bool(int round)> &after_round);

double median(std::vector<double> values);

}  // namespace aft::bench
