#include "search.h"

#include <random>

namespace aft::tune {

namespace {

Candidate with(Candidate candidate, const std::string &param, int value) {
    if (value == 0) {
        candidate.params.erase(param);
    } else {
        candidate.params[param] = value;
    }
    return candidate;
}

}  // namespace

Candidate descend(Candidate start, const std::vector<Axis> &axes, const IsFaster &is_faster,
                  const std::function<bool()> &go_on) {
    Candidate best = std::move(start);
    // A parameter is done once all the others are as they were when its values were tried.
    for (std::size_t done = 0, i = 0; done < axes.size(); ++done, i = (i + 1) % axes.size()) {
        for (const int value : axes[i].values) {
            const Candidate candidate = with(best, axes[i].name, value);
            if (candidate == best) {
                continue;
            }
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
        candidate = with(candidate, axis.name, axis.values[random() % axis.values.size()]);
    }
    return candidate;
}

}  // namespace aft::tune
