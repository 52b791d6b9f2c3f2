#include "threads/scratch.h"

#include "system/system.h"

#include <aft/threads.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

namespace aft {

/// The header in front of a block's memory.
struct alignas(128) ScratchPool::Block {
    Block *next;       // of all
    Block *next_idle;  // of the idle ones
    Call *holder;      // null: idle, or of no pool
    int size_class;
    bool of_task;

    static constexpr std::size_t past_the_end = 128;  // that vectors may read
};

struct ScratchPool::All {
    SpinLock lock;
    ScratchPool *first = nullptr;
};

ScratchPool::All ScratchPool::all_;
thread_local ScratchPool::Held ScratchPool::held_;

namespace {

constexpr std::size_t size_of_class(int size_class) {
    return std::size_t{1} << size_class;
}

int class_of_size(std::size_t bytes) {
    int size_class = 10;  // smaller blocks aren't worth a class
    while (size_of_class(size_class) < bytes) {
        ++size_class;
    }
    return size_class;
}

}  // namespace

ScratchPool::Block *ScratchPool::make_block(int size_class) noexcept {
    const std::size_t bytes = sizeof(Block) + size_of_class(size_class) + Block::past_the_end;
    void *memory = ::operator new(bytes, std::align_val_t{alignof(Block)}, std::nothrow);
    if (!memory) {
        return nullptr;
    }
    ask_for_huge_pages(memory, bytes);
    return new (memory) Block{nullptr, nullptr, nullptr, size_class, false};
}

bool ScratchPool::grow(int size_class) noexcept {
    Block *block = make_block(size_class);
    if (!block) {
        return false;
    }
    SizeClass &blocks = classes_[size_class];
    block->next = std::exchange(blocks.all, block);
    block->next_idle = std::exchange(blocks.idle, block);
    ++blocks.blocks;
    return true;
}

ScratchPool::ScratchPool() {
    static const bool is_told = call_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (!is_told) {
        throw std::bad_alloc();
    }
    const std::lock_guard lock(all_.lock);
    next_ = std::exchange(all_.first, this);
    link_ = &all_.first;
    if (next_) {
        next_->link_ = &next_;
    }
}

ScratchPool::~ScratchPool() {
    {
        const std::lock_guard lock(all_.lock);
        *link_ = next_;
        if (next_) {
            next_->link_ = link_;
        }
    }
    for (SizeClass &blocks : classes_) {
        while (Block *block = blocks.all) {
            blocks.all = block->next;
            ::operator delete(block, std::align_val_t{alignof(Block)});
        }
    }
}

ScratchPool::Block *ScratchPool::take(Call &call, int size_class) noexcept {
    const std::lock_guard lock(lock_);
    SizeClass &blocks = classes_[size_class];
    if (!blocks.idle && !grow(size_class)) {
        return nullptr;
    }
    Block *block = blocks.idle;
    blocks.idle = block->next_idle;
    block->holder = &call;
    block->of_task = held_.depth > 0;
    int &held = block->of_task ? held_.by_task[size_class] : held_.by_call[size_class];
    int &peak = block->of_task ? blocks.peak_of_task : blocks.peak_of_call;
    peak = std::max(peak, ++held);
    return block;
}

void *ScratchPool::allocate(Call *call, std::size_t bytes) noexcept {
    Block *block = nullptr;
    if (bytes <= size_of_class(size_classes - 1)) {
        const int size_class = class_of_size(bytes);
        block = call ? call->pool_.take(*call, size_class) : make_block(size_class);
    }
    if (!block && call) {
        call->fail();
    }
    return block ? block + 1 : nullptr;
}

void ScratchPool::release(Call *call, void *memory) noexcept {
    if (!memory || (call && call->failed_)) {
        return;
    }
    Block *block = static_cast<Block *>(memory) - 1;
    if (!call) {
        ::operator delete(block, std::align_val_t{alignof(Block)});
        return;
    }
    --(block->of_task ? held_.by_task : held_.by_call)[block->size_class];
    ScratchPool &pool = call->pool_;
    const std::lock_guard lock(pool.lock_);
    block->holder = nullptr;
    block->next_idle = std::exchange(pool.classes_[block->size_class].idle, block);
}

std::size_t ScratchPool::bytes() const {
    const std::lock_guard lock(lock_);
    std::size_t sum = 0;
    for (int i = 0; i < size_classes; ++i) {
        sum += classes_[i].blocks * size_of_class(i);
    }
    return sum;
}

void ScratchPool::before_fork() {
    all_.lock.lock();
    for (ScratchPool *pool = all_.first; pool; pool = pool->next_) {
        pool->lock_.lock();
    }
}

void ScratchPool::after_fork_in_parent() {
    for (ScratchPool *pool = all_.first; pool; pool = pool->next_) {
        pool->lock_.unlock();
    }
    all_.lock.unlock();
}

void ScratchPool::after_fork_in_child() {
    for (ScratchPool *pool = all_.first; pool; pool = pool->next_) {
        pool->forget_calls();
    }
    after_fork_in_parent();
}

void ScratchPool::forget_calls() {
    calls_ = 0;
    for (SizeClass &blocks : classes_) {
        blocks.idle = nullptr;
        for (Block *block = blocks.all; block; block = block->next) {
            block->holder = nullptr;
            block->next_idle = std::exchange(blocks.idle, block);
        }
    }
}

ScratchPool::Call::Call(ScratchPool &pool) : pool_(pool) {
    held_.by_call = {};  // a failed call leaves its counts
    const std::lock_guard lock(pool.lock_);
    pool.most_calls_ = std::max(pool.most_calls_, ++pool.calls_);
}

ScratchPool::Call::~Call() {
    const std::lock_guard lock(pool_.lock_);
    --pool_.calls_;
    // A caller that waits for its own loop takes part in the loops of others.
    const int threads = thread_count() + pool_.most_calls_ - 1;
    for (int i = 0; i < size_classes; ++i) {
        SizeClass &blocks = pool_.classes_[i];
        for (Block *block = failed_ ? blocks.all : nullptr; block; block = block->next) {
            if (block->holder == this) {
                block->holder = nullptr;
                block->next_idle = std::exchange(blocks.idle, block);
            }
        }
        const int wanted = blocks.peak_of_call * pool_.most_calls_ + blocks.peak_of_task * threads;
        while (blocks.blocks < wanted && pool_.grow(i)) {}
    }
}

void ScratchPool::Call::fail() noexcept {
    failed_ = true;
}

ScratchPool::Task::Task() {
    if (held_.depth++ == 0) {
        held_.by_task = {};  // a failed call leaves its counts
    }
}

ScratchPool::Task::~Task() {
    --held_.depth;
}

}  // namespace aft
