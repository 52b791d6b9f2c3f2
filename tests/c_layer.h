#pragma once

#include "reference/problem.h"

#include <aft/aft.h>
#include <aft/aft_c.h>
#include <aft/training_c.h>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <string>
#include <vector>

namespace aft {

struct Destroy {
    void operator()(aft_weights *weights) const {
        aft_weights_destroy(weights);
    }
    void operator()(aft_layer *layer) const {
        aft_layer_destroy(layer);
    }
    void operator()(aft_sources *sources) const {
        aft_sources_destroy(sources);
    }
    void operator()(aft_core *core) const {
        aft_core_destroy(core);
    }
    void operator()(aft_state *state) const {
        aft_state_destroy(state);
    }
};
using CWeights = std::unique_ptr<aft_weights, Destroy>;
using CLayer = std::unique_ptr<aft_layer, Destroy>;
using CSources = std::unique_ptr<aft_sources, Destroy>;
using CCore = std::unique_ptr<aft_core, Destroy>;
using CState = std::unique_ptr<aft_state, Destroy>;

/// The code of a form with a name, whatever its gate.
inline aft_layer_kind c_kind(const LayerForm &form) {
    for (const NamedForm &named : named_forms) {
        if (named.form.bias == form.bias && named.form.reach == form.reach) {
            return named.c_kind;
        }
    }
    FAIL("a form without a name");
    return AFT_LAYER_NONE;
}

inline aft_config c_config(const LayerConfig &config) {
    return {sizeof(aft_config),
            c_kind(config.form),
            config.hidden,
            config.projected,
            config.max_seq_len,
            config.window,
            static_cast<aft_gate>(config.form.gate),
            config.key_hidden,
            config.value_hidden,
            config.heads};
}

/// Views of the weights; those that are empty are null.
inline aft_parameters c_parameters(const Weights &weights) {
    const auto view = [](const std::vector<float> &values) { return values.empty() ? nullptr : values.data(); };
    return {sizeof(aft_parameters),      view(weights.query_weight),   view(weights.query_bias),
            view(weights.key_weight),    view(weights.key_bias),       view(weights.value_weight),
            view(weights.value_bias),    view(weights.project_weight), view(weights.project_bias),
            view(weights.position_bias), view(weights.decay),          view(weights.bonus)};
}

/// The status of a copy of weights that must fail.
inline aft_status weights_status(const LayerConfig &config, const Weights &weights) {
    const aft_config as_c = c_config(config);
    const aft_parameters parameters = c_parameters(weights);
    aft_weights *result = nullptr;
    const aft_status status = aft_weights_copy(&as_c, &parameters, &result);
    CHECK(!result);
    return status;
}

inline CWeights copied(const Weights &weights, const LayerConfig &config) {
    const aft_config as_c = c_config(config);
    const aft_parameters parameters = c_parameters(weights);
    aft_weights *result = nullptr;
    REQUIRE(aft_weights_copy(&as_c, &parameters, &result) == AFT_OK);
    return CWeights(result);
}

inline CLayer c_layer(const LayerConfig &config, const CWeights &weights, const aft_layer_options *options = nullptr) {
    const aft_config as_c = c_config(config);
    aft_layer *result = nullptr;
    REQUIRE(aft_layer_create(&as_c, weights.get(), options, &result) == AFT_OK);
    return CLayer(result);
}

inline CLayer c_layer(const Problem &problem, const aft_layer_options *options = nullptr) {
    return c_layer(problem.config, copied(make_weights(problem), problem.config), options);
}

inline CCore c_core(const Problem &problem) {
    const aft_config as_c = c_config(problem.config);
    const Weights weights = make_weights(problem);
    const aft_parameters parameters = c_parameters(weights);
    aft_weights *copy = nullptr;
    REQUIRE(aft_weights_copy_core(&as_c, &parameters, &copy) == AFT_OK);
    const CWeights owned(copy);
    aft_core *result = nullptr;
    REQUIRE(aft_core_create(&as_c, copy, nullptr, &result) == AFT_OK);
    return CCore(result);
}

inline CState c_state(const LayerConfig &config, std::int64_t batch) {
    const aft_config as_c = c_config(config);
    aft_state *result = nullptr;
    REQUIRE(aft_state_create(&as_c, batch, &result) == AFT_OK);
    return CState(result);
}

// The inputs of C point into those of C++.

inline aft_tensor c_tensor(const TensorView<const float, 3> &tensor) {
    const auto &[batch, rows, channels] = tensor.extents;
    return {tensor.data, {batch, rows, channels}, tensor.strides.data()};
}

inline aft_gradient c_gradient(const TensorView<float, 3> &gradient) {
    const auto &[batch, rows, columns] = gradient.extents;
    return {gradient.data, {batch, rows, columns}, gradient.strides.data()};
}

inline aft_sight c_sight(const Sight &sight) {
    const auto &[batch, targets, sources] = sight.mask.extents;
    return {sizeof(aft_sight),
            c_tensor(sight.position_bias),
            &sight.bias_scale,
            sight.lengths.data,
            {sight.mask.data, {batch, targets, sources}, sight.mask.strides.data()}};
}

inline aft_layer_inputs c_inputs(const LayerCall &call, const aft_sight *sight) {
    return {sizeof(aft_layer_inputs), c_tensor(call.query), c_tensor(call.key), c_tensor(call.value), nullptr, sight};
}

inline aft_core_inputs c_inputs(const CoreCall &call, const aft_sight *sight) {
    return {sizeof(aft_core_inputs), c_tensor(call.query), c_tensor(call.key), c_tensor(call.value), sight};
}

/// A call failed with `expected` and this message.
inline void check_failed(aft_status status, aft_status expected, const std::string &message) {
    INFO(message);
    CHECK(status == expected);
    CHECK(aft_last_error() == message);
}

}  // namespace aft
