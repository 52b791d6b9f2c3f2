#pragma once

#include "candidate.h"

#include <functional>
#include <vector>

namespace aft::tune {

/// Whether the candidate is faster than the incumbent. May take a while.
using IsFaster = std::function<bool(const Candidate &incumbent, const Candidate &candidate)>;

/// Coordinate descent: tries every other value of one parameter after the other, keeps what is faster, and ends when
/// no value of any parameter is, or when `go_on` says no.
Candidate descend(Candidate start, const std::vector<Axis> &axes, const IsFaster &is_faster,
                  const std::function<bool()> &go_on);

/// Any combination of values; the same one for the same seed.
Candidate random_candidate(const std::vector<Axis> &axes, unsigned seed);

}  // namespace aft::tune
