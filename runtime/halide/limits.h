#pragma once

#include <aft/error.h>

#include <atomic>
#include <cstdint>
#include <limits>

namespace aft {

/// Generated code counts elements in 32 bits.
inline constexpr std::int64_t max_elements = std::numeric_limits<std::int32_t>::max();

/// The elements that one tensor of a call of a kernel may have, and that may lie between its first and its last one.
/// Tests lower it.
inline std::atomic<std::int64_t> max_elements_of_call{max_elements};

/// Kernels can't take so many samples at once: a tensor has too many elements, or the intermediate result between two
/// stages too many bytes. They may take fewer (layer/parts.h).
class TooLarge : public KernelError {
public:
    using KernelError::KernelError;
};

}  // namespace aft
