#pragma once

#include "layer/exponentials.h"

#include <aft/config.h>
#include <aft/state.h>
#include <aft/tensor_view.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace aft {

/// The values of a state.
struct StateValues {
    LayerConfig config;
    std::vector<std::int64_t> positions;  // [B]
    std::vector<float> sums;              // [B, 4, P] of forms that sum: largest key, its age, numerator, denominator
    std::vector<float> keys, values;      // [B, rows, P] of the sources that are kept
    std::int64_t rows = 0;
    /// A form that keeps all sources has them from the first step on whose kernel uses them. They aren't saved: keys
    /// and values make them.
    std::optional<Exponentials> exponentials;

    StateValues(const LayerConfig &config, std::int64_t batch);

    std::int64_t batch() const {
        return static_cast<std::int64_t>(positions.size());
    }
};

struct State::Implementation : StateValues {
    using StateValues::StateValues;
};

/// The way of layers into a state.
struct StateAccess {
    static StateValues &of(State &state) {
        return *state.implementation_;
    }
    static const StateValues &of(const State &state) {
        return *state.implementation_;
    }
};

/// The positions before a call whose keys and values a causal form needs one by one: those within its window.
std::int64_t rows_before(const LayerConfig &config);

/// Whether a state of one config goes with a layer of another: the parts that a state depends on are the same.
bool have_same_states(const LayerConfig &a, const LayerConfig &b);

/// Throws ConfigError unless a layer of this config may step the state.
void check_state(const StateValues &state, const LayerConfig &config);

/// The next positions fit the state. Throws ShapeError.
void check_step(const StateValues &state, const Shape &shape, const TensorView<const std::int64_t, 1> &lengths);

}  // namespace aft
