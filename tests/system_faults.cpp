#include "faults.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <pthread.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

/// By SystemCall.
struct Plan {
    std::atomic<int> error{0}, good{0}, failures{0};

    /// The error of the next call, or 0.
    int next() {
        if (error == 0 || good-- > 0) {
            return 0;
        }
        ++failures;
        return error;
    }
};
Plan plans[7];
std::atomic<int> most_bytes{std::numeric_limits<int>::max()};
std::atomic<void (*)()> before_writes{nullptr};
std::atomic<std::uint64_t> same_number{0};
std::atomic<int> same_numbers{0};

Plan &plan_of(aft::SystemCall call) {
    return plans[static_cast<int>(call)];
}

bool fails(aft::SystemCall call) {
    const int error = plan_of(call).next();
    errno = error ? error : errno;
    return error != 0;
}

}  // namespace

// The linker has the library's calls of f go to __wrap_f.
extern "C" {
ssize_t __real_write(int file, const void *data, std::size_t bytes);
int __real_fsync(int file);
int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
ssize_t __real_pread(int file, void *data, std::size_t bytes, off_t begin);
ssize_t __real_getrandom(void *data, std::size_t bytes, unsigned flags);
long __real_syscall(long number, ...);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

ssize_t __wrap_write(int file, const void *data, std::size_t bytes) {
    if (before_writes) {
        before_writes.load()();
    }
    return fails(aft::SystemCall::write)
               ? -1
               : __real_write(file, data, std::min(bytes, static_cast<std::size_t>(most_bytes)));
}
int __wrap_fsync(int file) {
    return fails(aft::SystemCall::fsync) ? -1 : __real_fsync(file);
}
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return fails(aft::SystemCall::renameat) ? -1 : __real_renameat(from_folder, from, to_folder, to);
}
ssize_t __wrap_pread(int file, void *data, std::size_t bytes, off_t begin) {
    return fails(aft::SystemCall::pread)
               ? -1
               : __real_pread(file, data, std::min(bytes, static_cast<std::size_t>(most_bytes)), begin);
}
ssize_t __wrap_getrandom(void *data, std::size_t bytes, unsigned flags) {
    if (bytes == sizeof(std::uint64_t) && same_numbers-- > 0) {
        const std::uint64_t number = same_number;
        std::memcpy(data, &number, bytes);
        return sizeof(number);
    }
    return fails(aft::SystemCall::getrandom) ? -1 : __real_getrandom(data, bytes, flags);
}
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    const int error = plan_of(aft::SystemCall::pthread_create).next();
    return error ? error : __real_pthread_create(thread, attributes, start, argument);
}
/// The library makes no call with more arguments.
long __wrap_syscall(long number, long first, long second) {
#ifdef SYS_arch_prctl
    if (number == SYS_arch_prctl && fails(aft::SystemCall::arch_prctl)) {
        return -1;
    }
#endif
    return __real_syscall(number, first, second);
}
}

namespace aft {

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

ShortTransfers::ShortTransfers(int bytes) {
    most_bytes = bytes;
}

ShortTransfers::~ShortTransfers() {
    most_bytes = std::numeric_limits<int>::max();
}

BeforeWrites::BeforeWrites(void (*f)()) {
    before_writes = f;
}

BeforeWrites::~BeforeWrites() {
    before_writes = nullptr;
}

SameRandomNumber::SameRandomNumber(std::uint64_t number, int times) {
    same_number = number;
    same_numbers = times;
}

SameRandomNumber::~SameRandomNumber() {
    same_numbers = 0;
}

}  // namespace aft
