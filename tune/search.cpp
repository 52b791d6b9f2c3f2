#include "search.h"

#include <algorithm>
#include <random>
#include <utility>

namespace aft::tune {

Candidate descend(Candidate start, const std::vector<Axis> &axes, const Announce &announce, const IsFaster &is_faster,
                  const std::function<bool()> &go_on) {
    Candidate best = std::move(start);
    // An axis is done once all the others are as they were when its settings were tried.
    for (std::size_t done = 0, i = 0; done < axes.size(); ++done, i = (i + 1) % axes.size()) {
        std::vector<Candidate> candidates;
        for (const auto &setting : axes[i].settings) {
            candidates.push_back(with(best, axes[i], setting));
        }
        candidates.erase(std::remove(candidates.begin(), candidates.end(), best), candidates.end());
        announce(best, candidates);
        for (const Candidate &candidate : candidates) {
            if (!go_on()) {
                return best;
            }
            if (is_faster(best, candidate)) {
                best = candidate;
                done = 0;
            }
        }
    }
    return best;
}

Candidate random_candidate(const std::vector<Axis> &axes, unsigned seed) {
    std::mt19937 random(seed);  // the standard fixes its numbers, not those of its distributions
    Candidate candidate;
    for (const Axis &axis : axes) {
        candidate = with(candidate, axis, axis.settings[random() % axis.settings.size()]);
    }
    return candidate;
}

}  // namespace aft::tune
