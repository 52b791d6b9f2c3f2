#pragma once

#include "matrix_product.h"

#include <string>

namespace aft::bench {

/// Makes products of bfloat16 by the matmul of oneDNN 3, the library at `path`. Throws std::runtime_error.
ProductMaker<BFloat16> onednn_matmul_maker(const std::string &path);

}  // namespace aft::bench
