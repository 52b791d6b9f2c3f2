#pragma once

#include "reference/problem.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

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
};
using CWeights = std::unique_ptr<aft_weights, Destroy>;
using CLayer = std::unique_ptr<aft_layer, Destroy>;

/// The code of a form with a name.
inline aft_layer_kind c_kind(const LayerForm &form) {
    for (const NamedForm &named : named_forms) {
        if (named.form == form) {
            return named.c_kind;
        }
    }
    FAIL("a form without a name");
    return -1;
}

inline aft_config c_config(const LayerConfig &config) {
    return {sizeof(aft_config), c_kind(config.form), config.hidden,
            config.projected,   config.max_seq_len,  config.window};
}

/// Views of the weights; those that are empty are null.
inline aft_parameters c_parameters(const Weights &weights) {
    const auto view = [](const std::vector<float> &values) { return values.empty() ? nullptr : values.data(); };
    return {sizeof(aft_parameters),     view(weights.query_weight),   view(weights.query_bias),
            view(weights.key_weight),   view(weights.key_bias),       view(weights.value_weight),
            view(weights.value_bias),   view(weights.project_weight), view(weights.project_bias),
            view(weights.position_bias)};
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

/// A call failed with `expected` and this message.
inline void check_failed(aft_status status, aft_status expected, const std::string &message) {
    INFO(message);
    CHECK(status == expected);
    CHECK(aft_last_error() == message);
}

}  // namespace aft
