#include "c/c_arguments.h"
#include "c/c_objects.h"
#include "weights/parameters.h"

#include <utility>
#include <vector>

namespace aft {
namespace {

constexpr struct {
    const char *name;
    const float *aft_parameters::*values;
    std::vector<float> Weights::*copy;
} c_parameters[] = {
    {"query_weight", &aft_parameters::query_weight, &Weights::query_weight},
    {"query_bias", &aft_parameters::query_bias, &Weights::query_bias},
    {"key_weight", &aft_parameters::key_weight, &Weights::key_weight},
    {"key_bias", &aft_parameters::key_bias, &Weights::key_bias},
    {"value_weight", &aft_parameters::value_weight, &Weights::value_weight},
    {"value_bias", &aft_parameters::value_bias, &Weights::value_bias},
    {"project_weight", &aft_parameters::project_weight, &Weights::project_weight},
    {"project_bias", &aft_parameters::project_bias, &Weights::project_bias},
    {"position_bias", &aft_parameters::position_bias, &Weights::position_bias},
    {"decay", &aft_parameters::decay, &Weights::decay},
    {"bonus", &aft_parameters::bonus, &Weights::bonus},
};

/// A layer without an output projection has H = P.
bool may_be_null(const Parameter &parameter, const aft_parameters &from, const LayerConfig &config) {
    const bool may_lack_projection = config.hidden == config.projected && !from.project_bias;
    return parameter.optional || (parameter.values == &Weights::project_weight && may_lack_projection);
}

/// Copies those of `wanted`.
Weights copy_weights(const aft_parameters &from, const std::vector<Parameter> &wanted, const LayerConfig &config) {
    Weights weights;
    for (const auto &source : c_parameters) {
        const auto parameter = std::find_if(wanted.begin(), wanted.end(), [&](const Parameter &parameter) {
            return parameter.values == source.copy;
        });
        if (parameter == wanted.end()) {
            continue;
        }
        if (const float *values = from.*source.values) {
            (weights.*source.copy).assign(values, values + parameter->size());
        } else if (!may_be_null(*parameter, from, config)) {
            throw ArgumentError(std::string(source.name) + " is null, must be " + to_string(parameter->extents));
        }
    }
    return weights;
}

}  // namespace
}  // namespace aft

using namespace aft;

aft_status aft_weights_copy(const aft_config *config, const aft_parameters *parameters, aft_weights **weights) {
    return guarded([&] {
        aft_weights *&result = given("weights", weights);
        const LayerConfig layer_config = read_config(config);
        check_config(layer_config);
        Weights values =
            copy_weights(read_struct("parameters", parameters), aft::parameters(layer_config), layer_config);
        check_weights(values, layer_config);
        result = new aft_weights{std::move(values)};
    });
}

aft_status aft_weights_copy_core(const aft_config *config, const aft_parameters *parameters, aft_weights **weights) {
    return guarded([&] {
        aft_weights *&result = given("weights", weights);
        const LayerConfig core_config = read_config(config);
        check_core_config(core_config);
        Weights values = copy_weights(read_struct("parameters", parameters), core_parameters(core_config), core_config);
        check_core_weights(values, core_config);
        result = new aft_weights{std::move(values)};
    });
}

aft_status aft_weights_load(const char *path, const aft_config *config, const aft_load_options *options,
                            aft_weights **weights) {
    return guarded([&] {
        aft_weights *&result = given("weights", weights);
        const LayerConfig layer_config = read_config(config);
        const LoadOptions load_options = read_options(options);
        result = new aft_weights{load_weights(&given("path", path), layer_config, load_options)};
    });
}

aft_status aft_config_from_weights(const char *path, const aft_load_options *options, aft_config *config) {
    return guarded([&] {
        const LayerConfig before = read_config(config);
        const LoadOptions load_options = read_options(options);
        write_config(config_from_weights(&given("path", path), before, load_options), config);
    });
}

void aft_weights_destroy(aft_weights *weights) {
    delete weights;
}
