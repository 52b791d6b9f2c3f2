#pragma once

#include <cstdint>
#include <limits>

namespace aft {

/// Generated code counts elements in 32 bits.
inline constexpr std::int64_t max_elements = std::numeric_limits<std::int32_t>::max();

}  // namespace aft
