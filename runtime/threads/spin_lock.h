#pragma once

#include <atomic>
#include <thread>

namespace aft {

/// A short pause for a thread that looks again and again.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#elif defined(__riscv)
    asm volatile(".4byte 0x0100000f");  // pause, which does nothing on CPUs that don't know it
#endif
}

/// A mutex for a few instructions. At a mutex of the standard library, waiting threads go to sleep, which takes longer
/// than a whole short sequence.
class SpinLock {
public:
    void lock() {
        for (int look = 1; locked_.test_and_set(std::memory_order_acquire); ++look) {
            if (look % 64 == 0) {
                std::this_thread::yield();  // the thread that holds it may have lost its processor
            } else {
                pause();
            }
        }
    }
    void unlock() {
        locked_.clear(std::memory_order_release);
    }

private:
    std::atomic_flag locked_ = ATOMIC_FLAG_INIT;  // exchanging a bool takes a library on RISC-V
};

}  // namespace aft
