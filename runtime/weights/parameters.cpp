#include "weights/parameters.h"
#include "weights/gates.h"
#include "weights/naming.h"

#include <aft/error.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace aft {
namespace {

void check_member(const char *what, std::int64_t value, std::int64_t from, std::int64_t to = max_elements) {
    if (value < from || value > to) {
        throw ConfigError(std::string(what) + " is " + std::to_string(value) + ", must be " + std::to_string(from) +
                          " to " + std::to_string(to));
    }
}

void check_sizes(const std::vector<Parameter> &parameters) {
    for (const Parameter &parameter : parameters) {
        if (parameter.size() > max_elements) {
            throw ShapeError(parameter.tensor + " " + to_string(parameter.extents) + " has " +
                             std::to_string(parameter.size()) + " elements, the limit is " +
                             std::to_string(max_elements));
        }
    }
}

void check_values(Defects &defects, const Weights &weights, const std::vector<Parameter> &parameters) {
    for (const Parameter &parameter : parameters) {
        const std::vector<float> &values = weights.*parameter.values;
        if (!values.empty() || !parameter.optional) {
            defects.check(parameter.tensor, values, parameter.extents, parameter.domain);
        }
    }
}

}  // namespace

std::int64_t Parameter::size() const {
    return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

std::int64_t key_hidden(const LayerConfig &config) {
    return config.key_hidden != 0 ? config.key_hidden : config.hidden;
}

std::int64_t value_hidden(const LayerConfig &config) {
    return config.value_hidden != 0 ? config.value_hidden : key_hidden(config);
}

std::vector<Parameter> parameters(const LayerConfig &config) {
    return parameters(config, aft_pytorch);
}

std::vector<Parameter> core_parameters(const LayerConfig &config) {
    return core_parameters(config, aft_pytorch);
}

std::vector<Parameter> parameters(const LayerConfig &config, const Naming &naming) {
    const std::int64_t H = config.hidden, P = config.projected;
    const auto tensor_of = [](std::string_view module, const char *name) {
        return module.empty() ? "" : std::string(module) + name;
    };
    const auto weight = [&](std::string_view module) { return tensor_of(module, ".weight"); };
    const auto bias = [&](std::string_view module) { return tensor_of(module, ".bias"); };
    std::vector<Parameter> result;
    if (config.form.has_query()) {
        result = {{weight(naming.query), "query_weight", &Weights::query_weight, {P, H}},
                  {bias(naming.query), "bq", &Weights::query_bias, {P}, true}};
    }
    result.insert(result.end(),
                  {{weight(naming.key), "key_weight", &Weights::key_weight, {P, key_hidden(config)}},
                   {bias(naming.key), "bk", &Weights::key_bias, {P}, true},
                   {weight(naming.value), "value_weight", &Weights::value_weight, {P, value_hidden(config)}},
                   {bias(naming.value), "bv", &Weights::value_bias, {P}, true},
                   {weight(naming.project), "project_weight", &Weights::project_weight, {H, P}},
                   {bias(naming.project), "bo", &Weights::project_bias, {H}, true}});
    for (Parameter &parameter : core_parameters(config, naming)) {
        result.push_back(std::move(parameter));
    }
    return result;
}

std::vector<Parameter> core_parameters(const LayerConfig &config, const Naming &naming) {
    const std::int64_t P = config.projected, S = config.max_seq_len;
    const auto parameter = [](std::string_view tensor, const char *argument, std::vector<float> Weights::*values,
                              std::vector<std::int64_t> extents, Domain domain) {
        return Parameter{std::string(tensor), argument, values, std::move(extents), false, domain};
    };
    switch (config.form.bias) {
        case PositionBias::dense:
        case PositionBias::banded:
            return {parameter(naming.position_bias, "position_bias", &Weights::position_bias, {S, S},
                              Domain::finite_or_masked)};
        case PositionBias::convolution:
            return {parameter(naming.filter, "filter", &Weights::position_bias, {config.heads, config.window},
                              Domain::finite_or_masked)};
        case PositionBias::decay:
            return {parameter(naming.decay, "decay", &Weights::decay, {P}, Domain::at_least_0),
                    parameter(naming.bonus, "bonus", &Weights::bonus, {P}, Domain::finite)};
        case PositionBias::none:
        case PositionBias::given: break;
    }
    return {};
}

std::string to_string(const std::vector<std::int64_t> &extents) {
    std::string result = "[";
    for (std::int64_t extent : extents) {
        result += (result.size() > 1 ? ", " : "") + std::to_string(extent);
    }
    return result + "]";
}

void check_core_config(const LayerConfig &config) {
    name(config.form);
    if (name_of(config.form.gate).empty()) {
        throw ConfigError("gate is " + std::to_string(static_cast<int>(config.form.gate)) +
                          ", must be one of sigmoid, tanh, none, identity");
    }
    check_member("projected", config.projected, 1);
    check_member("max_seq_len", config.max_seq_len, 1);
    if (config.form.has_heads()) {
        check_member("window", config.window, 1);
        check_member("heads", config.heads, 1);
        if (config.projected % config.heads != 0) {
            throw ConfigError("heads is " + std::to_string(config.heads) + ", must divide projected, " +
                              std::to_string(config.projected));
        }
    } else if (config.form.has_window() && config.window < 0) {
        throw ConfigError("window is " + std::to_string(config.window) + ", must be at least 0");
    }
    check_sizes(core_parameters(config));
}

void check_config(const LayerConfig &config) {
    name(config.form);
    check_member("hidden", config.hidden, 1);
    check_member("key_hidden", config.key_hidden, 0);
    check_member("value_hidden", config.value_hidden, 0);
    check_core_config(config);
    check_sizes(parameters(config));
}

void check_core_weights(const Weights &weights, const LayerConfig &config) {
    Defects defects;
    check_values(defects, weights, core_parameters(config));
    defects.raise("");
}

void check_weights(const Weights &weights, const LayerConfig &config) {
    Defects defects;
    std::vector<Parameter> all = parameters(config);
    const bool has_projection =
        !weights.project_weight.empty() || !weights.project_bias.empty() || config.hidden != config.projected;
    if (!has_projection) {
        all.erase(std::remove_if(all.begin(), all.end(),
                                 [](const Parameter &parameter) {
                                     return parameter.values == &Weights::project_weight ||
                                            parameter.values == &Weights::project_bias;
                                 }),
                  all.end());
    }
    check_values(defects, weights, all);
    defects.raise("");
}

}  // namespace aft
