#pragma once

#include "reference/problem.h"

#include <string>

namespace aft::cli {

constexpr std::int64_t default_window = 32;

/// The problem of a layer at a shape "B,T,H,P" or "B,T,H,P,s". Throws UsageError.
Problem problem(const std::string &shape, LayerKind kind);

}  // namespace aft::cli
