#pragma once

#include "arena.h"

#include "reference/random.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace aft::bench {

// The part of a step's results that is compared with the reference.

inline constexpr std::int64_t max_targets = 4, max_channels = 4;

/// Some rows and the last channels of every step-th sample of a tensor [samples, rows, channels] without gaps.
struct Slice {
    std::array<std::int64_t, 3> extents;
    std::int64_t step, first_row, rows, channels;

    template<typename T>
    TensorView<const T, 3> of(const std::vector<T> &values) const {
        const auto [samples, all_rows, all_channels] = extents;
        return {values.data() + first_row * all_channels + all_channels - channels,
                {(samples - 1) / step + 1, rows, channels},
                {step * all_rows * all_channels, all_channels, 1}};
    }
    template<typename T>
    std::vector<T> copy(const std::vector<T> &values) const {
        const TensorView<const T, 3> view = of(values);
        std::vector<T> result;
        for (std::int64_t b = 0; b < view.extents[0]; ++b) {
            for (std::int64_t row = 0; row < rows; ++row) {
                const T *first = view.data + b * view.strides[0] + row * view.strides[1];
                result.insert(result.end(), first, first + channels);
            }
        }
        return result;
    }
};

inline std::array<std::int64_t, 3> target_extents(const BenchmarkProblem &problem) {
    return {problem.shape.batch, problem.shape.seq, problem.config.projected};
}
inline std::array<std::int64_t, 3> source_extents(const BenchmarkProblem &problem) {
    return {problem.shape.batch, source_count(problem), problem.config.projected};
}
/// One of each sample of a bias that the call gives, or one of all samples.
inline std::array<std::int64_t, 3> bias_extents(const BenchmarkProblem &problem) {
    const LayerConfig &config = problem.config;
    if (config.form.takes_bias()) {
        return {problem.bias_per_sample ? problem.shape.batch : 1, problem.shape.seq, source_count(problem)};
    }
    const std::int64_t S = config.form.has_positions() ? config.max_seq_len : 0;
    return {1, S, S};
}

/// Targets alone stand at the positions of the first ones, or in a causal form of the last ones.
inline Slice of_targets(const BenchmarkProblem &problem, const std::array<std::int64_t, 3> &extents) {
    const std::int64_t rows = std::min(max_targets, problem.shape.seq);
    return {extents, 1, problem.config.form.is_causal() ? extents[1] - rows : 0, rows, extents[2]};
}
/// Those of the first and the last sample.
inline Slice of_channels(const BenchmarkProblem &problem, const std::array<std::int64_t, 3> &extents) {
    const std::int64_t step = std::max<std::int64_t>(extents[0] - 1, 1);
    return {extents, step, 0, extents[1], std::min(max_channels, problem.config.projected)};
}

inline bool is_part(const BenchmarkProblem &problem, const char *operation) {
    return problem.operation == operation || problem.operation == "training";
}
inline std::size_t size_of(const std::array<std::int64_t, 3> &extents) {
    return static_cast<std::size_t>(extents[0] * extents[1] * extents[2]);
}
inline std::vector<float> gradient_of_result(const BenchmarkProblem &problem) {
    return Random(problem.seed + 1000).normals(size_of(target_extents(problem)), 1);
}

inline void append(const Reference &part, Reference &all) {
    all.output.insert(all.output.end(), part.output.begin(), part.output.end());
    all.tolerance.insert(all.tolerance.end(), part.tolerance.begin(), part.tolerance.end());
}

inline std::int64_t few_channels(const BenchmarkProblem &problem) {
    return std::min(max_channels, problem.config.projected);
}
/// The last rows of a matrix, or of a vector of one column.
inline std::vector<float> last_rows(const std::vector<float> &values, std::int64_t rows, std::int64_t columns) {
    return values.empty() ? values : std::vector<float>(values.end() - rows * columns, values.end());
}
inline std::vector<float> last_columns(const std::vector<float> &values, std::int64_t columns, std::int64_t all) {
    std::vector<float> result;
    for (auto row = values.begin(); row != values.end(); row += all) {
        result.insert(result.end(), row + all - columns, row + all);
    }
    return result;
}

/// For a step that has run() and compared(&all_finite), which runs once, into results that are NaN before, and returns
/// those that the reference has, and whether all are finite.
template<typename Step>
Subject subject_of(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                   const LayerOptions &options) {
    const auto step = std::make_shared<Step>(problem, weights, call, options);
    return {[step] { step->run(); }, {}, {}, false, [step](bool &all_finite) { return step->compared(all_finite); }};
}

}  // namespace aft::bench
