#pragma once

#include <functional>
#include <string>

namespace aft::bench {

/// C = A B + beta C; A: [m, k], B: [k, n], C: [m, n], row-major, with the distances of their rows.
using Sgemm = std::function<void(int m, int n, int k, const float *a, int row_of_a, const float *b, int row_of_b,
                                 float beta, float *c, int row_of_c)>;

/// The product of oneDNN, OpenBLAS or MKL, whichever the library at `path` is, on OpenMP's threads.
/// Throws std::runtime_error.
Sgemm load_sgemm(const std::string &path);

}  // namespace aft::bench
