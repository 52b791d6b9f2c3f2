#pragma once

#include "products.h"

#include <string>
#include <vector>

namespace aft::bench {

/// The speed of the CPU's matrix libraries: sgemm of 1024^3 by OpenBLAS and by oneDNN, on `threads` threads.
/// Loads those that the environment's AFT_OPENBLAS and AFT_ONEDNN name, or else those that the loader finds; the build
/// needs neither. `libraries` gets their versions, or why there is none.
std::vector<Products> blas_products(int threads, std::string &libraries);

}  // namespace aft::bench
