#include "parameters.h"

#include <aft/error.h>
#include <aft/safetensors.h>
#include <aft/weights.h>

#include <algorithm>
#include <cmath>

namespace aft {
namespace {

/// Problems with weights, reported together: who converts a checkpoint wants them all at once.
class Problems {
public:
    void add(const std::string &problem) {
        all_ += (all_.empty() ? "" : "; ") + problem;
    }
    void raise(const std::string &where) const {
        if (!all_.empty()) {
            throw WeightsError(where + all_);
        }
    }

private:
    std::string all_;
};

std::string position(std::size_t index, const std::vector<std::int64_t> &extents) {
    const auto i = static_cast<std::int64_t>(index);
    return to_string(extents.size() == 1 ? std::vector{i} : std::vector{i / extents[1], i % extents[1]});
}

}  // namespace

std::int64_t Parameter::size() const {
    return extents.size() == 1 ? extents[0] : extents[0] * extents[1];
}

std::vector<Parameter> parameters(const LayerConfig &config) {
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    std::vector<Parameter> result = {
        {"to_q.weight", "query_weight", &Weights::query_weight, {P, H}},
        {"to_q.bias", "bq", &Weights::query_bias, {P}, true},
        {"to_k.weight", "key_weight", &Weights::key_weight, {P, H}},
        {"to_k.bias", "bk", &Weights::key_bias, {P}, true},
        {"to_v.weight", "value_weight", &Weights::value_weight, {P, H}},
        {"to_v.bias", "bv", &Weights::value_bias, {P}, true},
        {"project.weight", "project_weight", &Weights::project_weight, {H, P}},
        {"project.bias", "bo", &Weights::project_bias, {H}, true},
    };
    if (config.kind != LayerKind::simple) {
        result.push_back({"wbias", "position_bias", &Weights::position_bias, {S, S}});
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
        if (values.empty() && parameter.optional) {
            continue;
        }
        if (values.size() != static_cast<std::uint64_t>(parameter.size())) {
            problems.add(std::string(parameter.tensor) + " has " + std::to_string(values.size()) + " values, must be " +
                         to_string(parameter.extents));
            continue;
        }
        const bool may_mask = parameter.values == &Weights::position_bias;
        const auto wrong = std::find_if_not(values.begin(), values.end(), [may_mask](float value) {
            return std::isfinite(value) || (may_mask && value < 0);
        });
        if (wrong != values.end()) {
            problems.add(std::string(parameter.tensor) + " has " + std::to_string(*wrong) + " at " +
                         position(wrong - values.begin(), parameter.extents) + ", must be finite" +
                         (may_mask ? " or -inf" : ""));
        }
    }
    problems.raise("");
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

Weights load_weights(const std::string &path, const LayerConfig &config) {
    check_config(config);
    const SafetensorsFile file = read_safetensors(path);
    Weights weights;
    Problems problems;
    for (const Parameter &parameter : parameters(config)) {
        const auto found = file.tensors.find(parameter.tensor);
        const std::string tensor = parameter.tensor;
        if (found == file.tensors.end()) {
            if (!parameter.optional) {
                problems.add(tensor + " is missing, must be " + to_string(parameter.extents));
            }
        } else if (found->second.dtype != "F32") {
            problems.add(tensor + " is " + found->second.dtype + ", must be F32");
        } else if (found->second.extents != parameter.extents) {
            problems.add(tensor + " is " + to_string(found->second.extents) + ", must be " +
                         to_string(parameter.extents));
        } else {
            weights.*parameter.values = found->second.as_float();
        }
    }
    problems.raise(path + ": ");
    try {
        check_weights(weights, config);
    } catch (const WeightsError &error) {
        throw WeightsError(path + ": " + error.what());
    }
    return weights;
}

LayerConfig config_from_weights(const std::string &path, LayerConfig config) {
    const SafetensorsFile file = read_safetensors(path);
    auto matrix = [&](const char *tensor) -> const std::vector<std::int64_t> & {
        const auto found = file.tensors.find(tensor);
        if (found == file.tensors.end()) {
            throw WeightsError(path + ": " + tensor + " is missing");
        }
        const std::vector<std::int64_t> &extents = found->second.extents;
        if (extents.size() != 2 || extents[0] < 1 || extents[1] < 1) {
            throw WeightsError(path + ": " + tensor + " is " + to_string(extents) + ", must be a matrix");
        }
        return extents;
    };
    config.projected = matrix("to_q.weight")[0];
    config.hidden = matrix("to_q.weight")[1];
    if (config.kind != LayerKind::simple) {
        config.max_seq_len = matrix("wbias")[0];
    }
    return config;
}

}  // namespace aft
