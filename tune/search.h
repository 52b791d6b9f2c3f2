#pragma once

#include "candidate.h"

#include <functional>
#include <vector>

namespace aft::tune {

/// Whether the candidate is faster than the incumbent. May take a while.
using IsFaster = std::function<bool(const Candidate &incumbent, const Candidate &candidate)>;

/// Told of the candidates that are about to be tried, so that they can be made together.
using Announce = std::function<void(const Candidate &incumbent, const std::vector<Candidate> &candidates)>;

/// Coordinate descent: tries every other setting of one axis after the other, keeps what is faster, and ends when no
/// setting of any axis is, or when `go_on` says no.
Candidate descend(Candidate start, const std::vector<Axis> &axes, const Announce &announce, const IsFaster &is_faster,
                  const std::function<bool()> &go_on);

/// Any combination of settings; the same one for the same seed.
Candidate random_candidate(const std::vector<Axis> &axes, unsigned seed);

}  // namespace aft::tune
