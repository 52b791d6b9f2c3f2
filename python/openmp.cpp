// Parallel loops of kernels on the threads of an OpenMP library that the program has loaded, and that is found at run
// time: nothing here is linked to one. PyTorch's threads wait for work after each of its operations; loops on threads
// of their own would share the processors with them.
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace {

/// GCC's interface, which LLVM's and Intel's libraries have too: calls `body` once on each of `threads` threads.
using Parallel = void (*)(void (*body)(void *), void *data, unsigned threads, unsigned flags);

struct OpenMP {
    Parallel parallel;
    int (*max_threads)();  // that the calling thread may use
};

struct Loop {
    std::atomic<std::int32_t> next;
    const std::int32_t count;
    void (*const iteration)(void *argument, std::int32_t index);
    void *const argument;

    void run() {
        for (std::int32_t i = next++; i < count; i = next++) {
            iteration(argument, i);
        }
    }
};

}  // namespace

/// An aft_parallel_for whose context is an OpenMP. Within another loop, OpenMP has one thread, which does it all.
extern "C" __attribute__((visibility("default"))) void
aft_openmp_for(void *context, std::int32_t count, void (*iteration)(void *, std::int32_t), void *argument) {
    const auto &openmp = *static_cast<const OpenMP *>(context);
    Loop loop{{0}, count, iteration, argument};
    const int threads = std::min(count, openmp.max_threads());
    if (threads <= 1) {
        loop.run();
        return;
    }
    openmp.parallel([](void *data) { static_cast<Loop *>(data)->run(); }, &loop, static_cast<unsigned>(threads), 0);
}
