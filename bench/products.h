#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>

namespace aft::bench {

/// Matrix products by a library that isn't ours, which are measured in turn with the kernels.
struct Products {
    std::string name;                   ///< of their row: "cublas_sgemm"
    std::string library;                ///< "cuBLAS 13.1.0"
    double flops;                       ///< multiply-adds counted as 2
    std::function<double()> max_error;  ///< multiplies; the result of product_error()
    std::function<void()> multiply;     ///< may only queue
    std::function<void()> finish = {};  ///< waits for what was queued
};

/// The largest error of 64 elements of actual = left * right, [rows, columns] over `steps` products each, against sums
/// in double, relative to the largest of these. left(row, step) and right(row, step, column) give the operands.
template<typename Left, typename Right>
double product_error(std::int64_t rows, std::int64_t columns, std::int64_t steps, const float *actual, const Left &left,
                     const Right &right) {
    double largest_error = 0, largest = 0;
    for (std::int64_t i = 0; i < 64; ++i) {
        const std::int64_t row = i * 7919 % rows, column = i * 104729 % columns;  // primes: spread over both
        double sum = 0;
        for (std::int64_t step = 0; step < steps; ++step) {
            sum += static_cast<double>(left(row, step)) * static_cast<double>(right(row, step, column));
        }
        const double error = std::abs(actual[row * columns + column] - sum);
        largest_error = std::max(largest_error, std::isnan(error) ? HUGE_VAL : error);
        largest = std::max(largest, std::abs(sum));
    }
    return largest_error / largest;
}

}  // namespace aft::bench
