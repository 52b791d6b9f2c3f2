#pragma once

#include <aft/training.h>
#include <aft/weights.h>

#include <cstdint>

namespace aft {

/// Views of the tensors that a layer of this config trains, or of their gradients. One that is empty has no data.
template<typename Views, typename SomeWeights>
Views views_of(const LayerConfig &config, SomeWeights &w) {
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    const std::int64_t K = config.key_hidden ? config.key_hidden : H, V = config.value_hidden ? config.value_hidden : H;
    const auto matrix = [](auto &values, std::int64_t rows, std::int64_t columns, auto &view) {
        if (!values.empty()) {
            view = {values.data(), {rows, columns}};
        }
    };
    const auto vector = [](auto &values, auto &view) {
        if (!values.empty()) {
            view = {values.data(), {static_cast<std::int64_t>(values.size())}};
        }
    };
    Views views;
    if (config.form.has_query()) {
        matrix(w.query_weight, P, H, views.query_weight);
        vector(w.query_bias, views.query_bias);
    }
    matrix(w.key_weight, P, K, views.key_weight);
    vector(w.key_bias, views.key_bias);
    matrix(w.value_weight, P, V, views.value_weight);
    vector(w.value_bias, views.value_bias);
    matrix(w.project_weight, H, P, views.project_weight);
    vector(w.project_bias, views.project_bias);
    if (config.form.has_positions()) {
        matrix(w.position_bias, S, S, views.position_bias);
    }
    return views;
}

inline LayerParameters parameters_of(const LayerConfig &config, const Weights &weights) {
    return views_of<LayerParameters>(config, weights);
}
/// gradients: of the sizes of the weights.
inline LayerGradients gradients_of(const LayerConfig &config, Weights &gradients) {
    return views_of<LayerGradients>(config, gradients);
}

}  // namespace aft
