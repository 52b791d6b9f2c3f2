#pragma once

#include "devices/call_memory.h"
#include "layer/checks.h"

#include <aft/call.h>
#include <aft/config.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

// The bias, mask and lengths of a call, as kernels read them.

namespace aft {

/// One value for all samples.
template<typename T>
Tensor same_for_all(CallMemory &memory, const char *name, T value, std::int64_t batch) {
    return memory.constant(name, value, TensorView<const T, 1>(nullptr, {batch}, {0}));
}

/// The same value for each source of each target.
template<typename T>
Tensor same_for_all_pairs(CallMemory &memory, const char *name, T value, const CallShape &shape) {
    const std::int64_t sources = std::max<std::int64_t>(shape.sources, 1);
    return memory.constant(name, value,
                           TensorView<const T, 3>(nullptr, {shape.batch, shape.targets, sources}, {0, 0, 1}));
}

/// A tensor without data.
template<std::size_t Rank>
Tensor shape(Element element, const std::array<std::int64_t, Rank> &extents) {
    Tensor result(TensorView<float, Rank>(nullptr, extents));
    result.element = element;
    return result;
}

/// How the kernels see the sources of a call.
enum class Way {
    pairs,   // `core` of a bias, a mask and a limit for every pair
    shared,  // `core` of one mean for all targets
    band,    // `core` of a bias within a window, for targets that see the same sources up to their reach
    scan,    // `scan`: the targets in order
};
constexpr std::size_t ways = 4;

/// The operands of the sight of a call that isn't a scan, without data.
std::vector<Operand> operands_of_sight(const CallShape &shape, Way way);

/// The sources, or rows, of each sample.
Tensor counts_of(CallMemory &memory, const char *name, const TensorView<const std::int64_t, 1> &lengths,
                 std::int64_t batch, std::int64_t all);

/// [B, before + m]: the rows before a whole sequence aren't there.
Tensor mask_of_sources(CallMemory &memory, const TensorView<const bool, 3> &mask, std::int64_t batch,
                       std::int64_t before, std::int64_t sources);

/// [B, n, m], with one source at least.
Tensor mask_of_pairs(CallMemory &memory, const TensorView<const bool, 3> &mask, const CallShape &shape);

/// The bias of every pair, [B, n, m], of a bias [S, S] of positions. Source j is at position j, target i at first + i;
/// a target before position 0 has the bias 0.
Tensor bias_of_positions(CallMemory &memory, const TensorView<const float, 2> &bias, const CallShape &shape,
                         std::int64_t first);

/// The bias of the positions of a call, [n, m], with one source at least, of a bias [S, S], or 0 without one. Target i
/// and source i are at position i.
Tensor bias_of_positions(CallMemory &memory, const TensorView<const float, 2> &bias, const CallShape &shape);

/// Positions at this distance or more have no bias of their own.
std::int32_t window_of(const LayerConfig &config);

/// Where target i and source i are at the same position: target i sees the sources up to i + this.
std::int32_t ahead_of(const LayerConfig &config);

/// Sets position biases [S, S], without gaps, to 0 outside the window.
void clear_beyond_window(float *bias, std::int64_t max_seq_len, std::int64_t window);

}  // namespace aft
