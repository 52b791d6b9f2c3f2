#pragma once

#include "reference/problem.h"

#include <string>

namespace aft::bench {

/// Writes what every contestant reads: the weights by aft-pytorch's names, `input`, some `rows` of the sequence with
/// `expected` and `tolerance` [batch, rows, hidden] in double, and `layer` and `window` as metadata.
void write_problem(const Problem &problem, const std::string &path);

}  // namespace aft::bench
