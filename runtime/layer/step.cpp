#include "layer/mean.h"

#include <algorithm>

namespace aft {
void clear_rows_beyond(TensorView<const std::int64_t, 1> lengths, TensorView<float, 3> y, float value) {
    for (std::int64_t b = 0; lengths.data && b < y.extents[0]; ++b) {
        for (std::int64_t t = lengths.data[b * lengths.strides[0]]; t < y.extents[1]; ++t) {
            std::fill_n(y.data + b * y.strides[0] + t * y.strides[1], y.extents[2], value);
        }
    }
}

void Mean::recall(const StateValues &state, std::int64_t first, TensorView<float, 3> key,
                  TensorView<float, 3> value) const {
    const std::int64_t count = rows_before(Way::scan) * config_.projected;
    for (std::int64_t b = 0; b < key.extents[0]; ++b) {
        std::copy_n(state.keys.data() + (first + b) * count, count, key.data + b * key.strides[0]);
        std::copy_n(state.values.data() + (first + b) * count, count, value.data + b * value.strides[0]);
    }
}

void Mean::step(CallMemory &memory, StateValues &state, const Step &step) const {
    if (way_of_steps() == Way::scan) {
        step_scan(memory, state, step);
    } else {
        step_pairs(memory, state, step);
    }
    clear_rows_beyond(step.lengths, step.y);
}

void Mean::step_scan(CallMemory &memory, const StateValues &state, const Step &step) const {
    const auto [B, n, P] = step.y.extents;
    const std::int64_t before = rows_before(Way::scan), width = before + n, first = step.first_sample;
    const TensorView<std::uint8_t, 2> mask = memory.on_host<std::uint8_t, 2>("mask", {B, width});
    const TensorView<std::int32_t, 1> rows = memory.on_host<std::int32_t, 1>("rows", {B}),
                                      positions = memory.on_host<std::int32_t, 1>("position", {B});
    for (std::int64_t b = 0; b < B; ++b) {
        const std::int64_t position = state.positions[first + b];
        const std::int64_t missing = std::max<std::int64_t>(before - position, 0);
        std::uint8_t *row = mask.data + b * width;
        std::fill(std::fill_n(row, missing, std::uint8_t{0}), row + width, std::uint8_t{1});
        rows.data[b] = static_cast<std::int32_t>(step.length(b));
        positions.data[b] = static_cast<std::int32_t>(std::min(position, max_elements));
    }
    const Tensor query = step.query.data ? memory.send("query", step.query) : Tensor();
    const Tensor y = memory.output("y", step.y), next = memory.output("next_state", step.sums);
    run_scan(memory, {{B, n, n}, query, memory.send("key", step.key), memory.send("value", step.value), y},
             memory.send("mask", TensorView<const std::uint8_t, 2>(mask)),
             memory.send("rows", TensorView<const std::int32_t, 1>(rows)),
             memory.send("position", TensorView<const std::int32_t, 1>(positions)),
             memory.send("state", TensorView<const float, 3>(state.sums.data() + first * 4 * P, {B, 4, P})), next);
    memory.fetch(y);
    memory.fetch(next);
}

/// Samples at the same position share the rows of the bias, so that neighbours of them run at once.
void Mean::step_pairs(CallMemory &memory, StateValues &state, const Step &step) const {
    const std::int64_t B = step.y.extents[0], P = config_.projected, S = config_.max_seq_len;
    const auto position_of = [&](std::int64_t b) { return state.positions[step.first_sample + b]; };
    float *const all_keys = state.keys.data() + step.first_sample * S * P, *const all_values =
                                                                               state.values.data() +
                                                                               step.first_sample * S * P;
    for (std::int64_t b = 0; b < B; ++b) {  // rows from the position on are no part of the state
        for (std::int64_t i = 0; i < step.length(b); ++i) {
            const std::int64_t row = (b * S + position_of(b) + i) * P;
            std::copy_n(step.key.data + b * step.key.strides[0] + i * step.key.strides[1], P, all_keys + row);
            std::copy_n(step.value.data + b * step.value.strides[0] + i * step.value.strides[1], P, all_values + row);
        }
    }
    const TensorView<float, 3> keys(all_keys, {B, S, P}), values(all_values, {B, S, P});
    const CallMemory::Mark mark = memory.mark();
    for (std::int64_t first = 0, end; first < B; first = end) {
        const std::int64_t position = position_of(first), n = step.length(first), m = position + n;
        for (end = first + 1; end < B && position_of(end) == position && step.length(end) == n; ++end) {}
        if (n == 0) {
            continue;
        }
        const std::int64_t count = end - first;
        Call call;
        call.shape = {count, n, m};
        call.query = step.query.data ? memory.send("query", samples(step.query, first, count, n)) : Tensor();
        call.key = memory.send("key", samples(keys, first, count, m));
        call.value = memory.send("value", samples(values, first, count, m));
        call.first_sample = step.first_sample + first;
        call.exponentials = exponentials_of(memory, state, call);
        TensorView<float, 3> y = step.y;
        y.data += first * y.strides[0];
        y.extents = {count, n, P};
        call.y = memory.output("y", y);
        run_pairs(memory, call, bias_of(memory, call.shape, {}), 1,
                  same_for_all_pairs(memory, "mask", std::uint8_t{1}, call.shape),
                  same_for_all(memory, "sources", static_cast<std::int32_t>(m), count), position);
        memory.fetch(call.y);
        memory.release(mark);
    }
}

/// The exponentials of a state for the samples of a call, after those of new rows are made; null where no kernel uses
/// them.
const Exponentials *Mean::exponentials_of(CallMemory &memory, StateValues &state, const Call &call) const {
    const auto [count, n, m] = call.shape;
    const ExponentialKernels *kernels = exponential_kernels();
    if (!kernels || n > ExponentialKernels::most_targets ||
        !Exponentials::fit(state.batch(), state.rows, config_.projected)) {
        return nullptr;
    }
    if (!state.exponentials) {
        state.exponentials.emplace(state.batch(), state.rows, config_.projected);
    }
    Exponentials &result = *state.exponentials;
    const auto made = result.made.begin() + call.first_sample;
    // Rows from the position on may be those of a step that failed.
    const std::int64_t known = std::min(*std::min_element(made, made + count), m - n);
    const std::int64_t first_row = known - known % Exponentials::chunk_rows;
    kernels->make(memory, rows_from(call.key, first_row), rows_from(call.value, first_row), result, call.first_sample,
                  first_row);
    return &result;
}

void Mean::keep(StateValues &state, const Step &step) const {
    const std::int64_t B = step.y.extents[0], P = config_.projected, first_sample = step.first_sample;
    if (way_of_steps() == Way::scan) {
        std::copy_n(step.sums.data, B * 4 * P, state.sums.data() + first_sample * 4 * P);
        const std::int64_t count = rows_before(Way::scan) * P;
        for (std::int64_t b = 0; b < B && count > 0; ++b) {
            const std::int64_t first = step.length(b) * P;  // rows of recall() and the step lie one after the other
            const std::int64_t to = (first_sample + b) * count;
            std::copy_n(step.key.data + b * step.key.strides[0] + first, count, state.keys.data() + to);
            std::copy_n(step.value.data + b * step.value.strides[0] + first, count, state.values.data() + to);
        }
    }
    for (std::int64_t b = 0; b < B; ++b) {
        state.positions[first_sample + b] += step.length(b);
    }
}

}  // namespace aft
