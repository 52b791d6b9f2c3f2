#include "faults.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <malloc.h>
#include <new>

namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
std::atomic<std::int64_t> all{0}, live{0}, bytes_of_live{0}, until_failure{never};

#ifdef _WIN32
void *aligned_memory(std::size_t alignment, std::size_t bytes) {
    return _aligned_malloc(bytes, alignment);
}
std::size_t bytes_of(void *memory) {
    return memory ? _msize(static_cast<void **>(memory)[-1]) : 0;
}
void free_memory(void *memory) {
    _aligned_free(memory);
}
#else
void *aligned_memory(std::size_t alignment, std::size_t bytes) {
    return std::aligned_alloc(alignment, bytes);
}
std::size_t bytes_of(void *memory) {
    return malloc_usable_size(memory);
}
void free_memory(void *memory) {
    std::free(memory);
}
#endif

void *count_and_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    ++all;
    if (until_failure != never && until_failure.fetch_sub(1) == 0) {
        return nullptr;
    }
    void *memory = aligned_memory(alignment, (bytes + alignment) / alignment * alignment);
    live += memory != nullptr;
    bytes_of_live += bytes_of(memory);
    return memory;
}

void *not_null(void *memory) {
    return memory ? memory : throw std::bad_alloc();
}

void count_and_free(void *memory) {
    live -= memory != nullptr;
    bytes_of_live -= bytes_of(memory);
    free_memory(memory);
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

namespace aft {

std::int64_t allocations() {
    return all;
}

std::int64_t live_allocations() {
    return live;
}

std::int64_t live_bytes() {
    return bytes_of_live;
}

AllocationFault::AllocationFault(std::int64_t n) {
    until_failure = n;
}

AllocationFault::~AllocationFault() {
    until_failure = never;
}

bool AllocationFault::happened() const {
    return until_failure < 0;
}

}  // namespace aft
