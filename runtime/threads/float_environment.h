#pragma once

#include <atomic>
#include <cstdint>

#if !defined(__SSE__) && !defined(__aarch64__) && !defined(__riscv_flen) && !defined(__wasm__)
#include <cfenv>
#endif

namespace aft {

/// While it lives, this thread computes in the default floating-point environment: it rounds to nearest, keeps
/// denormals and traps no exception. The destructor restores the caller's environment with its flags. Takes some
/// nanoseconds.
class FloatEnvironment {
public:
    FloatEnvironment() : callers_(read()) {
        write(initial());
        keep_order();
    }
    ~FloatEnvironment() {
        keep_order();
        write(callers_);
    }
    FloatEnvironment(const FloatEnvironment &) = delete;
    FloatEnvironment &operator=(const FloatEnvironment &) = delete;

private:
#if defined(__SSE__)  // nothing here uses the x87 registers
    using State = std::uint32_t;
    static State initial() {
        return 0x1F80;
    }
    static State read() {
        return __builtin_ia32_stmxcsr();
    }
    static void write(State mxcsr) {
        __builtin_ia32_ldmxcsr(mxcsr);
    }
#elif defined(__aarch64__)
    struct State {
        std::uint64_t control, status;
    };
    static State initial() {
        return {0, 0};
    }
    static State read() {
        State state;
        asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(state.control), "=r"(state.status));
        return state;
    }
    static void write(State state) {
        asm volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(state.control), "r"(state.status));
    }
#elif defined(__riscv_flen)
    using State = std::uintptr_t;
    static State initial() {
        return 0;
    }
    static State read() {
        State fcsr;
        asm volatile("frcsr %0" : "=r"(fcsr));
        return fcsr;
    }
    static void write(State fcsr) {
        asm volatile("fscsr %0" : : "r"(fcsr));
    }
#elif defined(__wasm__)  // has no other environment
    struct State {};
    static State initial() {
        return {};
    }
    static State read() {
        return {};
    }
    static void write(State) {}
#else
    using State = std::fenv_t;
    static State initial() {
        const State now = read();
        std::fesetenv(FE_DFL_ENV);
        const State first = read();
        write(now);
        return first;
    }
    static State read() {
        State state;
        std::fegetenv(&state);
        return state;
    }
    static void write(const State &state) {
        std::fesetenv(&state);
    }
#endif
    /// Keeps the compiler from moving reads and writes past here.
    static void keep_order() {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    const State callers_;
};

}  // namespace aft
