#pragma once

#include <cstdint>

namespace aft {

/// Allocations of the process through operator new: so far, and not yet freed.
std::int64_t allocations();
std::int64_t live_allocations();

/// Fails one allocation, the n-th from now on, of whichever thread.
class AllocationFault {
public:
    explicit AllocationFault(std::int64_t n);
    ~AllocationFault();
    AllocationFault(const AllocationFault &) = delete;
    AllocationFault &operator=(const AllocationFault &) = delete;

    bool happened() const;
};

/// What of the system the library calls and the tests make fail.
enum class SystemCall { write, fsync, rename, pthread_create };

/// While it lives, the library's calls fail with `error`, after `good` that don't.
class SystemFault {
public:
    SystemFault(SystemCall call, int error, int good = 0);
    ~SystemFault();
    SystemFault(const SystemFault &) = delete;
    SystemFault &operator=(const SystemFault &) = delete;

    int failures() const;

private:
    SystemCall call_;
};

/// While it lives, write() takes at most so many bytes.
class ShortWrites {
public:
    explicit ShortWrites(int bytes);
    ~ShortWrites();
    ShortWrites(const ShortWrites &) = delete;
    ShortWrites &operator=(const ShortWrites &) = delete;
};

}  // namespace aft
