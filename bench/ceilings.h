#pragma once

#include <string>
#include <vector>

namespace aft::bench {

/// The widest instruction set of this machine: "AVX-512", "AVX2", "AVX", "SSE2", "NEON" or "128-bit vectors".
std::string machine_isa();

/// The one of these that kernels for a Halide target multiply and add with; "AVX512-BF16" or "AMX" for kernels that
/// keep bfloat16, where the target multiplies it.
std::string isa_of(const std::string &target, const std::string &storage);

/// Multiplies and adds in registers on `threads` threads, 2 to 4 ms of nothing but independent multiply-adds: the
/// ceiling of every kernel of this instruction set whose time goes into products. Returns 1e9 operations a second, from
/// the first thread that starts to the last one that ends; NaN if the machine lacks the instruction set.
double fma_gflops(const std::string &isa, int threads);

/// Copies a buffer too large for any cache, each thread its own part: the ceiling of what only moves data.
class CopyLoop {
public:
    CopyLoop();

    /// Returns the bytes moved: each byte is read once and written once.
    double operator()(int threads);

private:
    std::vector<float> source_, destination_;
};

}  // namespace aft::bench
