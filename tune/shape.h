#pragma once

#include "reference/problem.h"

#include <nlohmann/json.hpp>

namespace aft::tune {

/// A shape in the journal and in wisdom: docs/tuning.md.
inline nlohmann::ordered_json shape_of(const Problem &problem) {
    return {{"batch", problem.shape.batch},
            {"seq", problem.shape.seq},
            {"hidden", problem.config.hidden},
            {"projected", problem.config.projected},
            {"window", problem.config.window}};
}

}  // namespace aft::tune
