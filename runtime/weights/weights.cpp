#include "threads/float_environment.h"
#include "weights/parameters.h"
#include "weights/stored_layer.h"
#include "weights/stored_tensors.h"

#include <aft/weights.h>

namespace aft {
namespace {

/// [size, size]. A network that has no output projection puts out the gated mean itself: 1 times each value plus 0
/// times the others is that value exactly, as long as all of them are finite.
std::vector<float> identity(std::int64_t size) {
    std::vector<float> matrix(size * size);
    for (std::int64_t i = 0; i < size; ++i) {
        matrix[i * size + i] = 1;
    }
    return matrix;
}

Weights weights_of(StoredTensors &tensors, const LayerConfig &config, const LoadOptions &options) {
    const FloatEnvironment during;
    StoredLayer layer(tensors, config.form, options);
    Weights weights;
    for (const Parameter &parameter : parameters(config, layer.naming())) {
        std::vector<float> &values = weights.*parameter.values;
        if (parameter.may_mask()) {
            values = layer.position_bias(config.max_seq_len);
        } else if (!parameter.tensor.empty()) {
            values = layer.values(parameter.tensor, parameter.extents, parameter.optional, false);
        } else if (!parameter.optional) {
            layer.check_unprojected(config);
            values = identity(config.hidden);
        }
    }
    if (config.form.has_bias()) {
        layer.check_window(config);
    }
    layer.raise();
    return weights;
}

LayerConfig implied_config(StoredTensors &tensors, LayerConfig config, const LoadOptions &options) {
    const FloatEnvironment during;
    StoredLayer layer(tensors, config.form, options);
    for (const Parameter &parameter : parameters(config, layer.naming())) {
        if (parameter.extents.size() == 2 && !parameter.may_mask() && !parameter.tensor.empty()) {
            const auto [rows, columns] = layer.matrix(parameter.tensor);
            if (parameter.values == &Weights::query_weight) {
                config.projected = rows;
                config.hidden = columns;
            }
        }
    }
    if (layer.naming().project.empty()) {
        layer.check_unprojected(config);
    }
    if (config.form.has_bias()) {
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
