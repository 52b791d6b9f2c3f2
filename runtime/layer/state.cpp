#include "layer/state.h"

#include "halide/limits.h"
#include "layer/checks.h"
#include "weights/defects.h"
#include "weights/parameters.h"

#include <aft/error.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

namespace aft {
namespace {

StoredTensor of_positions(const std::vector<std::int64_t> &positions) {
    StoredTensor result{"I64", {static_cast<std::int64_t>(positions.size())}, {}};
    result.bytes.resize(positions.size() * sizeof(std::int64_t));
    std::memcpy(result.bytes.data(), positions.data(), result.bytes.size());
    return result;
}

}  // namespace

std::int64_t rows_before(const LayerConfig &config) {
    if (!config.form.is_causal() || !config.form.has_window()) {
        return 0;
    }
    const std::int64_t window =
        config.form.has_positions() ? std::min(config.window, config.max_seq_len) : config.window;
    return std::max<std::int64_t>(window - 1, 0);
}

bool have_same_states(const LayerConfig &a, const LayerConfig &b) {
    return a.form.bias == b.form.bias && a.form.reach == b.form.reach && a.projected == b.projected &&
           longest_of(a) == longest_of(b) && (!a.form.has_window() || a.window == b.window);
}

void check_state(const StateValues &state, const LayerConfig &config) {
    if (!have_same_states(state.config, config)) {
        throw ConfigError("the state is one of another config, whose layer is " + std::string(name(state.config.form)) +
                          ", projected " + std::to_string(state.config.projected) + ", max_seq_len " +
                          std::to_string(state.config.max_seq_len) + ", window " + std::to_string(state.config.window));
    }
}

void check_step(const StateValues &state, const Shape &shape, const TensorView<const std::int64_t, 1> &lengths) {
    if (shape.batch != state.batch()) {
        throw ShapeError("batch is " + std::to_string(shape.batch) + ", must be " + std::to_string(state.batch()) +
                         " like that of the state");
    }
    Sight sight;
    sight.lengths = lengths;
    check_sight(sight, {PositionBias::none}, {shape.batch, shape.seq, shape.seq});
    const std::int64_t longest = longest_of(state.config);
    for (std::int64_t b = 0; longest != 0 && b < shape.batch; ++b) {
        const std::int64_t length = lengths.data ? lengths.data[b * lengths.strides[0]] : shape.seq;
        if (length > longest - state.positions[b]) {
            throw ShapeError("sample " + std::to_string(b) + " is at position " + std::to_string(state.positions[b]) +
                             " and has " + std::to_string(length) + " more, must stay within max_seq_len " +
                             std::to_string(longest));
        }
    }
}

StateValues::StateValues(const LayerConfig &config, std::int64_t batch) : config(config) {
    check_core_config(config);
    if (!config.form.is_causal() || config.form.takes_bias()) {
        throw ConfigError("layer " + std::string(name(config.form)) + " has no state: " +
                          (config.form.is_causal() ? "its bias is given by each call" : "it isn't causal"));
    }
    if (batch < 0) {
        throw ShapeError("batch is " + std::to_string(batch) + ", must be at least 0");
    }
    rows = config.form.has_sums() ? rows_before(config) : config.max_seq_len;
    const std::int64_t P = config.projected, of_sums = config.form.has_sums() ? 4 : 0;
    if (rows > max_elements || of_sums + 2 * rows > max_elements / P ||
        (batch > 0 && (of_sums + 2 * rows) * P > max_elements / batch)) {
        throw ShapeError("a state of batch " + std::to_string(batch) + " has more than " +
                         std::to_string(max_elements) + " elements");
    }
    positions.assign(batch, 0);
    sums.assign(batch * of_sums * P, 0.0f);
    keys.assign(batch * rows * P, 0.0f);
    values = keys;
}

State::State(const LayerConfig &config, std::int64_t batch)
    : implementation_(std::make_unique<Implementation>(config, batch)) {}
State::State(const State &other) : implementation_(std::make_unique<Implementation>(*other.implementation_)) {}
State &State::operator=(const State &other) {
    if (this != &other) {
        implementation_ = std::make_unique<Implementation>(*other.implementation_);
    }
    return *this;
}
State::State(State &&) noexcept = default;
State &State::operator=(State &&) noexcept = default;
State::~State() = default;

namespace {

void check_sample(const char *what, std::int64_t sample, std::int64_t batch) {
    if (sample < 0 || sample >= batch) {
        throw ShapeError(std::string(what) + " is " + std::to_string(sample) + ", must be 0 to " +
                         std::to_string(batch - 1));
    }
}

/// Copies one of the samples that a vector has.
void copy_sample(std::vector<float> &to, std::int64_t sample, std::int64_t batch, const std::vector<float> &from,
                 std::int64_t from_sample) {
    const std::int64_t size = static_cast<std::int64_t>(to.size()) / batch;
    std::copy_n(from.begin() + from_sample * size, size, to.begin() + sample * size);
}

}  // namespace

std::int64_t State::batch() const {
    return implementation_->batch();
}

std::int64_t State::position(std::int64_t sample) const {
    check_sample("sample", sample, batch());
    return implementation_->positions[sample];
}

void State::reset(std::int64_t sample) {
    check_sample("sample", sample, batch());
    const State empty(config(), 1);
    copy(sample, empty, 0);
}

void State::copy(std::int64_t sample, const State &from, std::int64_t from_sample) {
    check_sample("sample", sample, batch());
    check_sample("from_sample", from_sample, from.batch());
    if (!have_same_states(config(), from.config())) {
        throw ConfigError("the config of the other state differs");
    }
    Implementation &to = *implementation_;
    const Implementation &source = *from.implementation_;
    to.positions[sample] = source.positions[from_sample];
    copy_sample(to.sums, sample, to.batch(), source.sums, from_sample);
    copy_sample(to.keys, sample, to.batch(), source.keys, from_sample);
    copy_sample(to.values, sample, to.batch(), source.values, from_sample);
    if (to.exponentials && source.exponentials) {
        to.exponentials->copy(sample, *source.exponentials, from_sample);
    } else if (to.exponentials) {
        to.exponentials->made[sample] = 0;
    }
}

SafetensorsFile State::tensors() const {
    const Implementation &state = *implementation_;
    const std::int64_t B = state.batch(), P = state.config.projected;
    SafetensorsFile file;
    file.tensors["position"] = of_positions(state.positions);
    if (state.config.form.has_sums()) {
        file.tensors["sums"] = stored_tensor({B, 4, P}, state.sums);
    }
    if (state.rows > 0) {
        std::vector<float> keys = state.keys, values = state.values;
        for (std::int64_t b = 0; b < B && !state.config.form.has_sums();
             ++b) {  // a failed step may have left rows beyond
            const std::int64_t from = (b * state.rows + state.positions[b]) * P, to = (b + 1) * state.rows * P;
            std::fill(keys.begin() + from, keys.begin() + to, 0.0f);
            std::fill(values.begin() + from, values.begin() + to, 0.0f);
        }
        file.tensors["keys"] = stored_tensor({B, state.rows, P}, keys);
        file.tensors["values"] = stored_tensor({B, state.rows, P}, values);
    }
    file.metadata = {{"aft.layer", std::string(name(state.config.form))}};
    return file;
}

State State::from_tensors(const SafetensorsFile &file, const LayerConfig &config) {
    const Implementation layout(config, 0);
    const std::int64_t P = config.projected;
    Defects defects;
    const auto find = [&](const std::string &name, const char *dtype,
                          const std::vector<std::int64_t> &extents) -> const StoredTensor * {
        const auto found = file.tensors.find(name);
        if (found == file.tensors.end()) {
            defects.add(name + " is missing");
            return nullptr;
        }
        if (found->second.dtype != dtype) {
            defects.add(name + " is " + found->second.dtype + ", must be " + dtype);
            return nullptr;
        }
        if (!extents.empty() && found->second.extents != extents) {
            defects.add(name + " is " + to_string(found->second.extents) + ", must be " + to_string(extents));
            return nullptr;
        }
        return &found->second;
    };
    const StoredTensor *stored = find("position", "I64", {});
    if (stored && stored->extents.size() != 1) {
        defects.add("position is " + to_string(stored->extents) + ", must have one dimension");
        stored = nullptr;
    }
    const auto made_for = file.metadata.find("aft.layer");
    if (made_for != file.metadata.end() && made_for->second != name(config.form)) {
        defects.add("the state is one of layer " + made_for->second + ", not " + std::string(name(config.form)));
    }
    if (!stored) {
        defects.raise(file.path);
    }
    const std::int64_t B = stored->extents[0];
    State result(config, B);
    Implementation &state = *result.implementation_;
    std::memcpy(state.positions.data(), stored->bytes.data(), stored->bytes.size());
    const std::int64_t longest =
        longest_of(config) != 0 ? longest_of(config) : std::numeric_limits<std::int64_t>::max();
    for (std::int64_t b = 0; b < B; ++b) {
        if (state.positions[b] < 0 || state.positions[b] > longest) {
            defects.add("position of sample " + std::to_string(b) + " is " + std::to_string(state.positions[b]) +
                        ", must be 0 to " + std::to_string(longest));
        }
    }
    const auto read = [&](const char *name, std::vector<float> &values, const std::vector<std::int64_t> &extents) {
        if (const StoredTensor *tensor = find(name, "F32", extents)) {
            values = tensor->as_float();
        }
    };
    if (config.form.has_sums()) {
        read("sums", state.sums, {B, 4, P});
    }
    if (layout.rows > 0) {
        read("keys", state.keys, {B, layout.rows, P});
        read("values", state.values, {B, layout.rows, P});
    }
    for (const auto &each : file.tensors) {
        const std::string &name = each.first;
        const bool is_known = name == "position" || (name == "sums" && config.form.has_sums()) ||
                              ((name == "keys" || name == "values") && layout.rows > 0);
        if (!is_known) {
            defects.add(name + " is no tensor of a state of this layer");
        }
    }
    defects.raise(file.path);
    return result;
}

const LayerConfig &State::config() const {
    return implementation_->config;
}

}  // namespace aft
