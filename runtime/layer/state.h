#pragma once

#include "layer/exponentials.h"
#include "layer/parts.h"

#include <aft/config.h>
#include <aft/state.h>
#include <aft/tensor_view.h>

#include <algorithm>
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

/// The members of a state that an unfinished step changes: all but rows beyond the positions, which are no part of it.
class StateBefore {
public:
    explicit StateBefore(const StateValues &state) : positions_(state.positions), sums_(state.sums) {
        if (state.config.form.has_sums()) {
            keys_ = state.keys;
            values_ = state.values;
        }
    }
    /// Allocates nothing.
    void restore(StateValues &state) const {
        std::copy(positions_.begin(), positions_.end(), state.positions.begin());
        std::copy(sums_.begin(), sums_.end(), state.sums.begin());
        std::copy(keys_.begin(), keys_.end(), state.keys.begin());
        std::copy(values_.begin(), values_.end(), state.values.begin());
    }

private:
    std::vector<std::int64_t> positions_;
    std::vector<float> sums_, keys_, values_;
};

/// in_parts() over the samples of a state, each of which run(first, count) brings to the end of the step. If one fails,
/// the whole state is what it was.
template<typename Run>
void step_in_parts(StateValues &state, std::int64_t least, const Run &run) {
    std::optional<StateBefore> before;  // of all parts, where there are several
    try {
        in_parts(state.batch(), least, [&](std::int64_t first, std::int64_t count) {
            if (before && first == 0) {
                before->restore(state);
            } else if (first == 0 && count < state.batch()) {
                before.emplace(state);
            }
            run(first, count);
        });
    } catch (...) {
        if (before) {
            before->restore(state);
        }
        throw;
    }
}

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
