#include "faults.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <pthread.h>
#include <unistd.h>

namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
std::atomic<std::int64_t> all{0}, live{0}, until_failure{never};

void *count_and_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    all++;
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

/// By SystemCall.
struct Plan {
    std::atomic<int> error{0}, good{0}, failures{0};

    /// The error of the next call, or 0.
    int next() {
        if (error == 0 || good-- > 0) {
            return 0;
        }
        failures++;
        return error;
    }
};
Plan plans[4];
std::atomic<int> most_written{std::numeric_limits<int>::max()};

Plan &plan_of(aft::SystemCall call) {
    return plans[static_cast<int>(call)];
}

bool fails(aft::SystemCall call) {
    const int error = plan_of(call).next();
    errno = error ? error : errno;
    return error != 0;
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

// The linker has the library's calls of f go to __wrap_f.
extern "C" {
ssize_t __real_write(int file, const void *data, std::size_t bytes);
int __real_fsync(int file);
int __real_rename(const char *from, const char *to);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

ssize_t __wrap_write(int file, const void *data, std::size_t bytes) {
    return fails(aft::SystemCall::write)
               ? -1
               : __real_write(file, data, std::min(bytes, static_cast<std::size_t>(most_written)));
}
int __wrap_fsync(int file) {
    return fails(aft::SystemCall::fsync) ? -1 : __real_fsync(file);
}
int __wrap_rename(const char *from, const char *to) {
    return fails(aft::SystemCall::rename) ? -1 : __real_rename(from, to);
}
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    const int error = plan_of(aft::SystemCall::pthread_create).next();
    return error ? error : __real_pthread_create(thread, attributes, start, argument);
}
}

namespace aft {

std::int64_t allocations() {
    return all;
}

std::int64_t live_allocations() {
    return live;
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

SystemFault::SystemFault(SystemCall call, int error, int good) : call_(call) {
    Plan &plan = plan_of(call);
    plan.failures = 0;
    plan.good = good;
    plan.error = error;
}

SystemFault::~SystemFault() {
    plan_of(call_).error = 0;
}

int SystemFault::failures() const {
    return plan_of(call_).failures;
}

ShortWrites::ShortWrites(int bytes) {
    most_written = bytes;
}

ShortWrites::~ShortWrites() {
    most_written = std::numeric_limits<int>::max();
}

}  // namespace aft
