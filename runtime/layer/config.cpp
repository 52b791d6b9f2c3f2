#include "weights/parameters.h"

#include <aft/config.h>
#include <aft/error.h>

namespace aft {

std::string_view name(LayerKind kind) {
    switch (kind) {
        case LayerKind::full: return "full";
        case LayerKind::simple: return "simple";
        case LayerKind::local: return "local";
    }
    throw ConfigError("layer kind " + std::to_string(static_cast<int>(kind)) + " doesn't exist");
}

LayerKind layer_kind(std::string_view name) {
    for (LayerKind kind : {LayerKind::full, LayerKind::simple, LayerKind::local}) {
        if (aft::name(kind) == name) {
            return kind;
        }
    }
    throw ConfigError("layer '" + std::string(name) + "' doesn't exist: must be full, simple or local");
}

void check_config(const LayerConfig &config) {
    name(config.kind);
    auto check_extent = [](const char *what, std::int64_t extent) {
        if (extent < 1 || extent > max_elements) {
            throw ConfigError(std::string(what) + " is " + std::to_string(extent) + ", must be 1 to " +
                              std::to_string(max_elements));
        }
    };
    check_extent("hidden", config.hidden);
    check_extent("projected", config.projected);
    check_extent("max_seq_len", config.max_seq_len);
    if (config.kind == LayerKind::local && config.window < 0) {
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

}  // namespace aft
