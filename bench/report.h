#pragma once

#include "comparison.h"

#include <string>

namespace aft::bench {

/// One table for each problem, a line for each schedule, then what was skipped and why.
std::string to_table(const Comparison &comparison);

/// One line per kernel and problem, a header line first. What isn't known is an empty field.
std::string to_csv(const Comparison &comparison);

/// {"machine": {...}, "kernels": [...], "skipped": [...]}: one flat object per kernel and problem, but for its "shape".
/// An unknown value is null.
std::string to_json(const Comparison &comparison);

/// One page with charts that needs nothing but itself: report.html with the JSON in it.
std::string to_html(const Comparison &comparison);

}  // namespace aft::bench
