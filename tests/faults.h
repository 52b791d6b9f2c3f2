#pragma once

#include <cstdint>

namespace aft {

/// Allocations of the process through operator new: so far, and not yet freed.
std::int64_t allocations();
std::int64_t live_allocations();
/// The bytes of those that aren't freed.
std::int64_t live_bytes();

/// Fails one allocation, the n-th from now on, of whichever thread.
class AllocationFault {
public:
    explicit AllocationFault(std::int64_t n);
    ~AllocationFault();
    AllocationFault(const AllocationFault &) = delete;
    AllocationFault &operator=(const AllocationFault &) = delete;

    bool happened() const;
};

/// Calls of the system that the tests make fail.
enum class SystemCall { write, fsync, renameat, pread, getrandom, pthread_create, arch_prctl };

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

/// While it lives, write() and pread() take at most so many bytes.
class ShortTransfers {
public:
    explicit ShortTransfers(int bytes);
    ~ShortTransfers();
    ShortTransfers(const ShortTransfers &) = delete;
    ShortTransfers &operator=(const ShortTransfers &) = delete;
};

/// While it lives, f is called before every write().
class BeforeWrites {
public:
    explicit BeforeWrites(void (*f)());
    ~BeforeWrites();
    BeforeWrites(const BeforeWrites &) = delete;
    BeforeWrites &operator=(const BeforeWrites &) = delete;
};

/// While it lives, the first calls of getrandom() give one number.
class SameRandomNumber {
public:
    SameRandomNumber(std::uint64_t number, int times);
    ~SameRandomNumber();
    SameRandomNumber(const SameRandomNumber &) = delete;
    SameRandomNumber &operator=(const SameRandomNumber &) = delete;
};

}  // namespace aft
