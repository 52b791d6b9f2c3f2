#pragma once

#include <atomic>
#include <thread>

namespace aft {

/// A moment for a thread that looks again and again.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// A mutex for what takes a few instructions: threads that meet at one of the standard library go to sleep, which takes
/// longer than all that a short sequence has to do.
class SpinLock {
public:
    void lock() {
        for (int look = 1; locked_.exchange(true, std::memory_order_acquire); look++) {
            if (look % 64 == 0) {
                std::this_thread::yield();  // whoever has it may have lost its processor
            } else {
                pause();
            }
        }
    }
    void unlock() {
        locked_.store(false, std::memory_order_release);
    }

private:
    std::atomic<bool> locked_ = false;
};

}  // namespace aft
