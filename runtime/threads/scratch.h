#pragma once

#include "threads/spin_lock.h"

#include <array>
#include <atomic>
#include <cstddef>

namespace aft {

/// The scratch memory of a layer's kernels, kept from call to call, so that a call whose like has been there before
/// allocates nothing, whichever way the threads meet this time.
///
/// Blocks come in powers of two. Whatever the shapes, the blocks that all of them left behind are at most twice what
/// the largest needed, so nothing is ever given back before the layer goes. What a block has too much is never touched
/// and costs address space only.
///
/// fork() waits for a moment in which no thread changes a pool. In the child, the calls of other threads are gone, and
/// their blocks are idle.
class ScratchPool {
public:
    ScratchPool();
    ScratchPool(const ScratchPool &) = delete;
    ScratchPool &operator=(const ScratchPool &) = delete;
    ~ScratchPool();

    /// A call of a kernel. At its end, the pool makes up for the luck of the schedule: a block that one task held may
    /// be wanted by every thread at once in the next call.
    class Call {
    public:
        explicit Call(ScratchPool &pool);
        Call(const Call &) = delete;
        Call &operator=(const Call &) = delete;
        ~Call();

        /// From now on, blocks go back to the pool when the call ends and not before. The clean-up of a kernel that
        /// fails isn't to be trusted: Halide 21 releases pointers that were never set (slots of dynamic stack
        /// allocations, in the schedules that Adams2019 finds).
        void fail() noexcept;

    private:
        friend class ScratchPool;
        ScratchPool &pool_;
        std::atomic<bool> failed_{false};
    };

    /// What the current thread allocates during the lifetime of this object is held by a task of a parallel loop.
    class Task {
    public:
        Task();
        Task(const Task &) = delete;
        Task &operator=(const Task &) = delete;
        ~Task();
    };

    /// A block aligned for every vector, of which kernels may read a vector before the start and past the end.
    /// Null when there is no memory, which fails the call. Without a call: from the heap and back to it.
    static void *allocate(Call *call, std::size_t bytes) noexcept;
    static void release(Call *call, void *memory) noexcept;

    std::size_t bytes() const;

private:
    struct Block;
    struct SizeClass {
        Block *all = nullptr;
        Block *idle = nullptr;
        int blocks = 0;        // of all
        int peak_of_call = 0;  // most blocks that one call held outside its tasks
        int peak_of_task = 0;  // most blocks that one thread held inside tasks
    };
    static constexpr int size_classes = 48;  // up to 2^47 bytes, the address space of a process

    struct All;
    static All all_;  // pools of the process
    static void before_fork();
    static void after_fork_in_parent();
    static void after_fork_in_child();
    void forget_calls();

    static Block *make_block(int size_class) noexcept;
    bool grow(int size_class) noexcept;
    Block *take(Call &call, int size_class) noexcept;

    mutable SpinLock lock_;
    std::array<SizeClass, size_classes> classes_;
    int calls_ = 0, most_calls_ = 0;  // at a time
    ScratchPool *next_ = nullptr;     // of all
    ScratchPool **link_ = nullptr;    // what points here

    /// How many blocks of each size the current thread holds, outside and inside of tasks.
    struct Held {
        int depth = 0;  // of nested tasks
        std::array<int, size_classes> by_call{}, by_task{};
    };
    static thread_local Held held_;
};

}  // namespace aft
