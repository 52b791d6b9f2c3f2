#include "scratch.h"

#include <aft/layer.h>

#include <algorithm>
#include <new>

namespace aft {

/// What stands before the memory of a block.
struct alignas(128) ScratchPool::Block {
    ScratchPool *pool;
    Block *next;  // of the idle ones
    int size_class;
    bool of_task;

    static constexpr std::size_t past_the_end = 128;  // that vectors may read
};

thread_local ScratchPool::Held ScratchPool::held_;

namespace {

constexpr std::size_t size_of_class(int size_class) {
    return std::size_t{1} << size_class;
}

int class_of_size(std::size_t bytes) {
    int size_class = 10;  // smaller blocks aren't worth a class
    while (size_of_class(size_class) < bytes) {
        size_class++;
    }
    return size_class;
}

}  // namespace

ScratchPool::Block *ScratchPool::make_block(ScratchPool *pool, int size_class) noexcept {
    const std::size_t bytes = sizeof(Block) + size_of_class(size_class) + Block::past_the_end;
    void *memory = ::operator new(bytes, std::align_val_t{alignof(Block)}, std::nothrow);
    return memory ? new (memory) Block{pool, nullptr, size_class, false} : nullptr;
}

bool ScratchPool::grow(int size_class) noexcept {
    Block *block = make_block(this, size_class);
    if (!block) {
        return false;
    }
    SizeClass &all = classes_[size_class];
    block->next = all.idle;
    all.idle = block;
    all.blocks++;
    return true;
}

ScratchPool::~ScratchPool() {
    for (SizeClass &all : classes_) {
        while (Block *block = all.idle) {
            all.idle = block->next;
            ::operator delete(block, std::align_val_t{alignof(Block)});
        }
    }
}

void *ScratchPool::allocate(ScratchPool *pool, std::size_t bytes) noexcept {
    if (bytes > size_of_class(size_classes - 1)) {
        return nullptr;
    }
    const int size_class = class_of_size(bytes);
    if (!pool) {
        Block *block = make_block(nullptr, size_class);
        return block ? block + 1 : nullptr;
    }
    const std::lock_guard lock(pool->mutex_);
    SizeClass &all = pool->classes_[size_class];
    if (!all.idle && !pool->grow(size_class)) {
        return nullptr;
    }
    Block *block = all.idle;
    all.idle = block->next;
    block->of_task = held_.depth > 0;
    int &held = block->of_task ? held_.by_task[size_class] : held_.by_call[size_class];
    int &peak = block->of_task ? all.peak_of_task : all.peak_of_call;
    peak = std::max(peak, ++held);
    return block + 1;
}

void ScratchPool::release(void *memory) noexcept {
    if (!memory) {
        return;
    }
    Block *block = static_cast<Block *>(memory) - 1;
    ScratchPool *pool = block->pool;
    if (!pool) {
        ::operator delete(block, std::align_val_t{alignof(Block)});
        return;
    }
    --(block->of_task ? held_.by_task : held_.by_call)[block->size_class];
    const std::lock_guard lock(pool->mutex_);
    SizeClass &all = pool->classes_[block->size_class];
    block->next = all.idle;
    all.idle = block;
}

std::size_t ScratchPool::bytes() const {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (int i = 0; i < size_classes; i++) {
        sum += classes_[i].blocks * size_of_class(i);
    }
    return sum;
}

ScratchPool::Call::Call(ScratchPool &pool) : pool_(pool) {
    const std::lock_guard lock(pool.mutex_);
    pool.most_calls_ = std::max(pool.most_calls_, ++pool.calls_);
}

ScratchPool::Call::~Call() {
    const std::lock_guard lock(pool_.mutex_);
    pool_.calls_--;
    // A caller that waits for its own loop takes part in the loops of others.
    const int threads = thread_count() + pool_.most_calls_ - 1;
    for (int i = 0; i < size_classes; i++) {
        SizeClass &all = pool_.classes_[i];
        const int wanted = all.peak_of_call * pool_.most_calls_ + all.peak_of_task * threads;
        while (all.blocks < wanted && pool_.grow(i)) {}
    }
}

ScratchPool::Task::Task() {
    held_.depth++;
}

ScratchPool::Task::~Task() {
    held_.depth--;
}

}  // namespace aft
