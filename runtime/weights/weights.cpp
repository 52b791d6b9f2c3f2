#include "threads/float_environment.h"
#include "weights/parameters.h"
#include "weights/stored_layer.h"
#include "weights/stored_tensors.h"

#include <aft/weights.h>

#include <array>
#include <string_view>

namespace aft {
namespace {

Weights weights_of(StoredTensors &tensors, const LayerConfig &config, const LoadOptions &options) {
    const FloatEnvironment during;
    StoredLayer layer(tensors, config.form, options);
    layer.check_gate(config.form.gate);
    Weights weights;
    for (const Parameter &parameter : parameters(config, layer.naming())) {
        std::vector<float> &values = weights.*parameter.values;
        if (parameter.values == &Weights::position_bias && config.form.has_positions()) {
            values = layer.position_bias(config.max_seq_len);
        } else if (parameter.values == &Weights::decay) {
            values = layer.decay(config.projected);
        } else if (parameter.values == &Weights::project_weight && parameter.tensor.empty()) {
            layer.check_unprojected(config);
        } else if (parameter.optional || layer.needs(parameter.tensor, parameter.argument)) {
            values = layer.values(parameter.tensor, parameter.extents, parameter.optional, parameter.domain);
        }
    }
    layer.check_window(config);
    layer.raise();
    return weights;
}

LayerConfig implied_config(StoredTensors &tensors, LayerConfig config, const LoadOptions &options) {
    const FloatEnvironment during;
    StoredLayer layer(tensors, config.form, options);
    const Naming &naming = layer.naming();
    config.form = layer.form();
    std::array<std::int64_t, 2> query{}, project{};
    const auto matrix_of = [&](std::string_view module) { return layer.matrix(std::string(module) + ".weight"); };
    if (config.form.has_query()) {
        query = matrix_of(naming.query);
    }
    const auto key = matrix_of(naming.key), value = matrix_of(naming.value);
    if (!naming.project.empty()) {
        project = matrix_of(naming.project);
    }
    config.projected = config.form.has_query() ? query[0] : key[0];
    config.hidden = config.form.has_query() ? query[1] : naming.project.empty() ? key[0] : project[0];
    config.key_hidden = key[1] == config.hidden ? 0 : key[1];
    config.value_hidden = value[1] == key[1] ? 0 : value[1];
    if (naming.project.empty()) {
        layer.check_unprojected(config);
    }
    if (config.form.has_heads()) {
        if (layer.needs(naming.filter, "filter")) {
            const auto [heads, window] = layer.matrix(std::string(naming.filter));
            config.heads = heads;
            config.window = window;
        }
    } else if (config.form.has_positions()) {
        config.max_seq_len = layer.max_seq_len();
        if (config.form.has_window() && config.max_seq_len > 0) {
            config.window = layer.window(config.max_seq_len).value_or(config.window);
        }
    }
    layer.raise();
    return config;
}

}  // namespace

std::vector<std::string> namings() {
    std::vector<std::string> names;
    for (const Naming &naming : naming_table) {
        names.emplace_back(naming.name);
    }
    return names;
}

Weights load_weights(const SafetensorsFile &file, const LayerConfig &config, const LoadOptions &options) {
    check_config(config);
    return weights_of(*StoredTensors::of(file), config, options);
}

LayerConfig config_from_weights(const SafetensorsFile &file, LayerConfig config, const LoadOptions &options) {
    return implied_config(*StoredTensors::of(file), config, options);
}

Weights load_weights(const std::string &path, const LayerConfig &config, const LoadOptions &options) {
    check_config(config);  // before a file is read
    return weights_of(*StoredTensors::open(path), config, options);
}

LayerConfig config_from_weights(const std::string &path, LayerConfig config, const LoadOptions &options) {
    return implied_config(*StoredTensors::open(path), config, options);
}

}  // namespace aft
