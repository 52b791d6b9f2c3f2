#pragma once

#include "reference/problem.h"

#include <string>

namespace aft::cli {

/// The problem of a layer at a shape "B,T,H,P" or "B,T,H,P,s". Throws UsageError.
Problem problem(const std::string &shape, LayerForm form);

/// The description of an option that takes such shapes.
std::string shape_help();

}  // namespace aft::cli
