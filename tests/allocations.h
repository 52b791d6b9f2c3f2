#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

namespace aft {

/// Every allocation of the process through operator new: so far, and not freed yet.
inline std::atomic<std::int64_t> allocations{0}, live{0};

/// The one that fails, counted from now on.
inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
inline std::atomic<std::int64_t> until_failure{never};

/// Fails one allocation, the n-th from now on.
class Fault {
public:
    explicit Fault(std::int64_t n) {
        until_failure = n;
    }
    ~Fault() {
        until_failure = never;
    }
    Fault(const Fault &) = delete;
    Fault &operator=(const Fault &) = delete;

    bool happened() const {
        return until_failure < 0;
    }
};

}  // namespace aft
