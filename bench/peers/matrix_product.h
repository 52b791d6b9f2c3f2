#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

namespace aft::bench {

/// The upper half of a float32, rounded to the nearest, of two as near to the even one. Not for NaN.
struct BFloat16 {
    std::uint16_t bits;

    BFloat16() = default;
    BFloat16(float value) {  // NOLINT(google-explicit-constructor): stores as a float would
        std::uint32_t whole;
        std::memcpy(&whole, &value, sizeof whole);
        bits = static_cast<std::uint16_t>((whole + 0x7fff + (whole >> 16 & 1)) >> 16);
    }
    operator float() const {  // NOLINT(google-explicit-constructor)
        const std::uint32_t whole = static_cast<std::uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &whole, sizeof value);
        return value;
    }
};

/// C = A B + bias, or with `adds`, C = C + A B. A: [m, k], B: [k, n], C: [m, n], row-major without gaps.
template<typename Operand>
struct ProductPlan {
    int m, n, k;
    bool adds = false;
    const Operand *weights = nullptr;  ///< B of all calls, of which a library may keep a copy; null: it varies
    const float *bias = nullptr;       ///< [n], of all calls; null: none
};

/// c = a b. Where a plan holds the weights, they are b.
template<typename Operand>
using Product = std::function<void(const Operand *a, const Operand *b, float *c)>;

/// Makes the product of a plan. Throws std::runtime_error if the library can't.
template<typename Operand>
using ProductMaker = std::function<Product<Operand>(const ProductPlan<Operand> &plan)>;

/// Makes products by the library at `path`, on OpenMP's threads, with sums in float32: by sgemm of oneDNN, OpenBLAS or
/// MKL; of bfloat16 by oneDNN's matmul or MKL's gemm_bf16bf16f32. Throws std::runtime_error.
template<typename Operand>
ProductMaker<Operand> load_product_maker(const std::string &path);
template<>
ProductMaker<float> load_product_maker(const std::string &path);
template<>
ProductMaker<BFloat16> load_product_maker(const std::string &path);

}  // namespace aft::bench
