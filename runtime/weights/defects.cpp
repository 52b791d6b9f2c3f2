#include "weights/defects.h"
#include "weights/parameters.h"

#include <aft/error.h>

#include <algorithm>
#include <cmath>

namespace aft {
namespace {

std::string position(std::size_t index, const std::vector<std::int64_t> &extents) {
    const auto i = static_cast<std::int64_t>(index);
    return to_string(extents.size() == 1 ? std::vector{i} : std::vector{i / extents[1], i % extents[1]});
}

bool is_in(Domain domain, float value) {
    return (std::isfinite(value) && (domain != Domain::at_least_0 || value >= 0)) ||
           (domain == Domain::finite_or_masked && value < 0);
}

const char *description(Domain domain) {
    switch (domain) {
        case Domain::finite: return "finite";
        case Domain::finite_or_masked: return "finite or -inf";
        case Domain::at_least_0: return "finite and at least 0";
    }
    return "";
}

}  // namespace

bool Defects::check(const std::string &tensor, const std::vector<float> &values,
                    const std::vector<std::int64_t> &extents, Domain domain) {
    std::uint64_t size = 1;
    for (const std::int64_t extent : extents) {
        size *= static_cast<std::uint64_t>(extent);
    }
    if (values.size() != size) {
        add(tensor + " has " + std::to_string(values.size()) + " values, must be " + to_string(extents));
        return false;
    }
    const auto wrong =
        std::find_if_not(values.begin(), values.end(), [domain](float value) { return is_in(domain, value); });
    if (wrong != values.end()) {
        add(tensor + " has " + std::to_string(*wrong) + " at " + position(wrong - values.begin(), extents) +
            ", must be " + description(domain));
    }
    return wrong == values.end();
}

void Defects::raise(const std::string &where) const {
    if (!all_.empty()) {
        throw WeightsError(where + all_.text());
    }
}

}  // namespace aft
