#pragma once

#include "cuda_device.h"

#include "reference/problem.h"

#include <memory>
#include <string>

namespace aft::bench {

/// The matrix products of a layer by cuBLAS, in float32 without TF32: what the vendor's library takes for them alone,
/// without exponentials, gate and division.
///     full           query, key and value in one product; numerator and denominator in one per sample, with a shared
///                    left operand; the output projection: all of the layer's work floor
///     simple, local  the projections: the sums over a sequence or a band aren't matrix products
class CublasProducts {
public:
    /// Loads the library that the environment's AFT_CUBLAS names, or else the newest libcublas.so that the loader
    /// finds. Throws std::runtime_error with the reason why there is none.
    CublasProducts(CudaDevice &device, const Problem &problem, const Weights &weights, const std::vector<float> &x);
    ~CublasProducts();
    CublasProducts(const CublasProducts &) = delete;
    CublasProducts &operator=(const CublasProducts &) = delete;

    /// Queues all of them.
    void multiply();

    /// The largest error of some elements of each product against a sum in double, relative to the largest of these.
    double max_error();

    static double flops(const Problem &problem);

    /// "cuBLAS 13.1.0"
    std::string version() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft::bench
