#pragma once

#include "halide/limits.h"
#include "halide/operand.h"

#include <aft/call.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace aft {

/// Runs a call of a batch in parts, run(first, count): all samples at once, or, where kernels can't take so many, in
/// halves, in quarters, and so on. No sample depends on another one, so that the bits are the same. A part has `least`
/// samples at least. The parts are equal up to one sample, and the first ones are the largest: where a part is too
/// large, none is done. Throws KernelError where the smallest part is too large.
template<typename Run>
void in_parts(std::int64_t batch, std::int64_t least, const Run &run) {
    const std::int64_t most = std::max<std::int64_t>(batch / least, 1);
    for (std::int64_t parts = 1;; parts = std::min(2 * parts, most)) {
        try {
            for (std::int64_t i = 0, first = 0; i < parts; ++i) {
                const std::int64_t count = batch / parts + (i < batch % parts ? 1 : 0);
                run(first, count);
                first += count;
            }
            return;
        } catch (const TooLarge &error) {
            if (parts == most) {
                throw KernelError(error.what() +
                                  std::string(batch == most ? ", use a shorter sequence" : ", use a smaller batch"));
            }
        }
    }
}

/// The samples of a tensor whose outermost dimension they are. One that isn't given stays so.
template<typename T, std::size_t Rank>
TensorView<T, Rank> part_of(TensorView<T, Rank> tensor, std::int64_t first, std::int64_t count) {
    if (tensor.data) {
        tensor.data += first * tensor.strides[0];
    }
    if (tensor.extents != typename TensorView<T, Rank>::Extents{}) {
        tensor.extents[0] = count;
    }
    return tensor;
}

/// [B, rows, channels] as [1, B rows, channels], if the samples follow each other.
inline bool join_samples(Tensor &tensor) {
    const std::int64_t batch = tensor.extents[0], rows = tensor.extents[1];
    if (batch > 1 && rows > 1 && tensor.strides[0] != rows * tensor.strides[1]) {
        return false;
    }
    if (rows == 1) {
        tensor.strides[1] = tensor.strides[0];
    }
    tensor.extents[0] = 1;
    tensor.extents[1] = batch * rows;
    return tensor.strides[1] != 0 || tensor.extents[1] == 1;
}

inline Sight part_of(Sight sight, std::int64_t first, std::int64_t count) {
    sight.position_bias = part_of(sight.position_bias, first, count);
    sight.lengths = part_of(sight.lengths, first, count);
    sight.mask = part_of(sight.mask, first, count);
    return sight;
}

inline LayerCall part_of(LayerCall call, std::int64_t first, std::int64_t count) {
    call.query = part_of(call.query, first, count);
    call.key = part_of(call.key, first, count);
    call.value = part_of(call.value, first, count);
    call.sight = part_of(call.sight, first, count);
    return call;
}

inline CoreCall part_of(CoreCall call, std::int64_t first, std::int64_t count) {
    call.query = part_of(call.query, first, count);
    call.key = part_of(call.key, first, count);
    call.value = part_of(call.value, first, count);
    call.sight = part_of(call.sight, first, count);
    return call;
}

}  // namespace aft
