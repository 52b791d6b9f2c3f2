#include "allocations.h"

#include <cstddef>
#include <cstdlib>
#include <new>

using namespace aft;

namespace {

void *count_and_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    allocations++;
    if (until_failure != never && until_failure-- == 0) {
        return nullptr;
    }
    void *memory = std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
    live += memory != nullptr;
    return memory;
}

void *not_null(void *memory) {
    return memory ? memory : throw std::bad_alloc();
}

void count_and_free(void *memory) {
    live -= memory != nullptr;
    std::free(memory);
}

}  // namespace

void *operator new(std::size_t bytes) {
    return not_null(count_and_allocate(bytes, alignof(std::max_align_t)));
}
void *operator new(std::size_t bytes, const std::nothrow_t &) noexcept {
    return count_and_allocate(bytes, alignof(std::max_align_t));
}
void *operator new(std::size_t bytes, std::align_val_t alignment) {
    return not_null(count_and_allocate(bytes, static_cast<std::size_t>(alignment)));
}
void *operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t &) noexcept {
    return count_and_allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void *memory) noexcept {
    count_and_free(memory);
}
void operator delete(void *memory, std::size_t) noexcept {
    count_and_free(memory);
}
void operator delete(void *memory, std::align_val_t) noexcept {
    count_and_free(memory);
}
void operator delete(void *memory, std::size_t, std::align_val_t) noexcept {
    count_and_free(memory);
}
