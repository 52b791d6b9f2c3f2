#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace aft {

/// The calls that the CUDA driver of the tests has seen, and its faults to come. Its devices are this CPU: kernels are
/// interpreted, and an access outside of the device's allocations, or a race, fails the launch and is reported on
/// stderr. The environment sets how it begins: FAKE_CUDA_DEVICES (2), FAKE_CUDA_CAPABILITY (90), FAKE_CUDA_INIT (0, the
/// result of cuInit), FAKE_CUDA_ALLOCATIONS (no limit).
struct FakeCuda {
    std::atomic<int> retained{0};          ///< primary contexts that are held
    std::atomic<int> private_contexts{0};  ///< that were made
    std::atomic<int> without_context{0};   ///< calls that need a current context and had none
    std::atomic<int> modules{0};           ///< loaded now
    std::atomic<int> max_registers{0};     ///< of the module that was loaded last
    std::atomic<int> allocations{0};       ///< so far
    std::atomic<int> live{0};              ///< allocations now
    std::atomic<int> copies_in{0}, copies_out{0}, fills{0}, launches{0};
    std::atomic<void *> stream{nullptr};  ///< of the last launch or fill
    std::atomic<int> device{-1};          ///< of the last launch

    std::atomic<std::int64_t> allocations_left{INT64_MAX};  ///< then there is no memory
    std::atomic<int> retain_result{0}, launch_result{0}, synchronize_result{0};

    void *(*allocate)(int device, std::size_t bytes);
    void (*release)(void *memory);
};

}  // namespace aft

/// Found by name in the library that stands for the driver.
extern "C" aft::FakeCuda &fake_cuda();
