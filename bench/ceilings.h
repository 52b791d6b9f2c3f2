#pragma once

#include <vector>

namespace aft::bench {

/// The instruction set that fma_loop() uses: the widest one that this machine has.
const char *fma_isa();

/// Multiplies and adds in registers on `threads` threads, about 5 ms of nothing but independent multiply-adds: the
/// ceiling of every kernel whose time goes into products. Returns the floating-point operations done.
double fma_loop(int threads);

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
