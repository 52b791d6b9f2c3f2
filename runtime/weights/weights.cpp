#include "weights/naming.h"
#include "weights/parameters.h"
#include "weights/problems.h"

#include <aft/weights.h>

#include <algorithm>
#include <cmath>

namespace aft {

std::int64_t Parameter::size() const {
    return extents.size() == 1 ? extents[0] : extents[0] * extents[1];
}

std::vector<Parameter> parameters(const LayerConfig &config) {
    return parameters(config, aft_pytorch);
}

std::vector<Parameter> parameters(const LayerConfig &config, const Naming &naming) {
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    const auto tensor_of = [](std::string_view module, const char *name) {
        return module.empty() ? "" : std::string(module) + name;
    };
    const auto weight = [&](std::string_view module) { return tensor_of(module, ".weight"); };
    const auto bias = [&](std::string_view module) { return tensor_of(module, ".bias"); };
    std::vector<Parameter> result = {
        {weight(naming.query), "query_weight", &Weights::query_weight, {P, H}},
        {bias(naming.query), "bq", &Weights::query_bias, {P}, true},
        {weight(naming.key), "key_weight", &Weights::key_weight, {P, H}},
        {bias(naming.key), "bk", &Weights::key_bias, {P}, true},
        {weight(naming.value), "value_weight", &Weights::value_weight, {P, H}},
        {bias(naming.value), "bv", &Weights::value_bias, {P}, true},
        {weight(naming.project), "project_weight", &Weights::project_weight, {H, P}},
        {bias(naming.project), "bo", &Weights::project_bias, {H}, true},
    };
    if (config.kind != LayerKind::simple) {
        result.push_back({std::string(naming.position_bias), "position_bias", &Weights::position_bias, {S, S}});
    }
    return result;
}

std::string to_string(const std::vector<std::int64_t> &extents) {
    std::string result = "[";
    for (std::int64_t extent : extents) {
        result += (result.size() > 1 ? ", " : "") + std::to_string(extent);
    }
    return result + "]";
}

void check_weights(const Weights &weights, const LayerConfig &config) {
    Problems problems;
    for (const Parameter &parameter : parameters(config)) {
        const std::vector<float> &values = weights.*parameter.values;
        if (!values.empty() || !parameter.optional) {
            problems.check(parameter.tensor, values, parameter.extents, parameter.may_mask());
        }
    }
    problems.raise("");
}

std::vector<float> factor_product(const std::vector<float> &u, const std::vector<float> &v, std::int64_t S) {
    const std::int64_t rank = static_cast<std::int64_t>(u.size()) / S;
    std::vector<float> w(S * S);
    for (std::int64_t t = 0; t < S; t++) {
        for (std::int64_t s = 0; s < S; s++) {
            double sum = 0;
            for (std::int64_t r = 0; r < rank; r++) {
                sum += static_cast<double>(u[t * rank + r]) * v[s * rank + r];
            }
            w[t * S + s] = static_cast<float>(sum);
        }
    }
    return w;
}

std::vector<float> identity(std::int64_t size) {
    std::vector<float> matrix(size * size);
    for (std::int64_t i = 0; i < size; i++) {
        matrix[i * size + i] = 1;
    }
    return matrix;
}

BiasRange widest_bias_range(const Weights &weights, const LayerConfig &config) {
    BiasRange widest;
    if (config.kind == LayerKind::simple) {
        return widest;
    }
    const std::int64_t S = config.max_seq_len;
    const bool local = config.kind == LayerKind::local;
    const std::int64_t reach = local ? std::min(config.window, S) : S;
    for (std::int64_t t = 0; t < S; t++) {
        const float *row = weights.position_bias.data() + t * S;
        const float *first = row + std::max<std::int64_t>(t - reach + 1, 0);
        const float *last = row + std::min(t + reach, S);
        float lowest = local ? 0 : *first, highest = lowest;
        for (const float *w = first; w < last; w++) {
            lowest = std::min(lowest, *w);
            highest = std::max(highest, *w);
        }
        // A row of nothing but -inf would give -inf - -inf.
        const float range = std::isfinite(lowest) ? highest - lowest : INFINITY;
        if (range > widest.range) {
            widest = {range, t};
        }
    }
    return widest;
}

}  // namespace aft
