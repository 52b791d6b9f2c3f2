#include "weights/parameters.h"
#include "weights/defects.h"
#include "weights/naming.h"

#include <aft/error.h>

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
    if (config.form.has_bias()) {
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

void check_config(const LayerConfig &config) {
    name(config.form);
    auto check_extent = [](const char *what, std::int64_t extent) {
        if (extent < 1 || extent > max_elements) {
            throw ConfigError(std::string(what) + " is " + std::to_string(extent) + ", must be 1 to " +
                              std::to_string(max_elements));
        }
    };
    check_extent("hidden", config.hidden);
    check_extent("projected", config.projected);
    check_extent("max_seq_len", config.max_seq_len);
    if (config.form.has_window() && config.window < 0) {
        throw ConfigError("window is " + std::to_string(config.window) + ", must be at least 0");
    }
    for (const Parameter &parameter : parameters(config)) {
        if (parameter.size() > max_elements) {
            throw ShapeError(parameter.tensor + " " + to_string(parameter.extents) + " has " +
                             std::to_string(parameter.size()) + " elements, the limit is " +
                             std::to_string(max_elements));
        }
    }
}

void check_weights(const Weights &weights, const LayerConfig &config) {
    Defects defects;
    for (const Parameter &parameter : parameters(config)) {
        const std::vector<float> &values = weights.*parameter.values;
        if (!values.empty() || !parameter.optional) {
            defects.check(parameter.tensor, values, parameter.extents, parameter.may_mask());
        }
    }
    defects.raise("");
}

}  // namespace aft
