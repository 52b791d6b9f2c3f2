#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/mman.h>

namespace aft {

/// Asks the system for huge pages within new memory, if it is large enough: processors fetch ahead only within a page,
/// and look up fewer of them. Memory goes without them where the system doesn't have any.
inline void ask_for_huge_pages([[maybe_unused]] void *memory, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef MADV_HUGEPAGE
    constexpr std::uintptr_t page = 2 << 20;
    const auto start = reinterpret_cast<std::uintptr_t>(memory);
    const std::uintptr_t first = (start + page - 1) / page * page, end = (start + bytes) / page * page;
    if (first < end) {
        madvise(reinterpret_cast<void *>(first), end - first, MADV_HUGEPAGE);
    }
#endif
}

}  // namespace aft
