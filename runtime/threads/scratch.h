#pragma once

#include "threads/spin_lock.h"

#include <array>
#include <atomic>
#include <cstddef>

namespace aft {

/// The scratch memory of a layer's kernels. The pool keeps it from call to call, so that the second call of a shape
/// allocates nothing, in whichever order the threads run.
///
/// The sizes of blocks are powers of two. Whatever the shapes, all blocks together take at most twice the memory that
/// the largest shape needs, so the pool frees none before the layer goes. The unused end of a block is never touched
/// and costs address space only.
///
/// fork() waits until no thread changes a pool. In the child, the calls of other threads are gone and their blocks are
/// idle.
class ScratchPool {
public:
    ScratchPool();
    ScratchPool(const ScratchPool &) = delete;
    ScratchPool &operator=(const ScratchPool &) = delete;
    ~ScratchPool();

    /// A call of a kernel. Its end allocates ahead: a block that one task held in this call may be needed by every
    /// thread at once in the next one.
    class Call {
    public:
        explicit Call(ScratchPool &pool);
        Call(const Call &) = delete;
        Call &operator=(const Call &) = delete;
        ~Call();

        /// Keeps all blocks until the call ends. A failing kernel may release pointers that were never set: Halide 21
        /// does so for slots of dynamic stack allocations, in schedules of Adams2019.
        void fail() noexcept;

    private:
        friend class ScratchPool;
        ScratchPool &pool_;
        std::atomic<bool> failed_{false};
    };

    /// While it lives, a task of a parallel loop holds the blocks that the current thread allocates.
    class Task {
    public:
        Task();
        Task(const Task &) = delete;
        Task &operator=(const Task &) = delete;
        ~Task();
    };

    /// A block aligned for every vector. Kernels may read a vector before its start and past its end. Without memory
    /// it is null and the call fails. Without a call, it comes from the heap and goes back there.
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
    static constexpr int size_classes = sizeof(std::size_t) == 8 ? 48 : 32;  // up to a half of the address space

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
    ScratchPool **link_ = nullptr;    // the pointer to this pool

    /// How many blocks of each size the current thread holds, outside and inside of tasks.
    struct Held {
        int depth = 0;  // of nested tasks
        std::array<int, size_classes> by_call{}, by_task{};
    };
    static thread_local Held held_;
};

}  // namespace aft
