#pragma once

#include <cstddef>
#include <string>

namespace aft::bench {

/// Two kernels that reach what a CUDA device can do, as text for the driver to assemble, for any device of today:
///     fma_loop(sums, fma_scale, fma_shift, fma_steps)   sums: a float for each thread
///     copy_loop(source, destination)                    copy_bytes_of_block for each block
std::string cuda_loops_ptx();

inline constexpr unsigned threads_of_block = 256;

// A multiply-add takes 4 cycles on the devices of today: 16 chains in each of 8 warps to a scheduler are far more than
// it takes to start one in every cycle, and all blocks are in flight together on every device.
inline constexpr int fma_chains = 16;
inline constexpr int fma_unrolled = 8;
inline constexpr unsigned fma_steps = 8192;
inline constexpr unsigned fma_blocks_of_multiprocessor = 4;
inline constexpr double fma_flops_of_thread = 2.0 * fma_steps * fma_unrolled * fma_chains;

// The chains x = x a + b have 0 < a < 1, so that they converge to b / (1 - a).
inline constexpr float fma_scale = 0.999f, fma_shift = 1e-4f;

/// The approximate result of a thread's chains.
inline double fma_sum(std::size_t thread) {
    const double number = static_cast<double>(thread);
    return fma_chains * number * fma_shift / (1 - (fma_scale + number * 0x1p-35));
}

// In flight together in each thread, of 16 bytes.
inline constexpr int copy_loads = 4;
inline constexpr std::size_t copy_bytes_of_block = std::size_t{16} * copy_loads * threads_of_block;

}  // namespace aft::bench
