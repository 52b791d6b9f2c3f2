#include "layer/training_checks.h"

#include "kernels/selector.h"
#include "weights/parameters.h"

#include <aft/error.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace aft {
namespace {

/// A tensor of a call in messages.
struct Named {
    const char *name;
    Tensor tensor;
};

void fail_extents(const char *name, const std::vector<std::int64_t> &actual,
                  const std::vector<std::int64_t> &expected) {
    throw ShapeError(std::string(name) + " is " + to_string(actual) + ", must be " + to_string(expected));
}
template<typename T>
void check_matrix(const char *name, const TensorView<T, 2> &matrix, std::int64_t rows, std::int64_t columns) {
    if (matrix.extents[0] != rows || matrix.extents[1] != columns) {
        fail_extents(name, {matrix.extents[0], matrix.extents[1]}, {rows, columns});
    }
    if (!matrix.data) {
        throw ShapeError(std::string(name) + ": data is null");
    }
    if ((matrix.strides[1] != 1 && columns > 1) || (matrix.strides[0] < columns && rows > 1)) {
        throw ShapeError(std::string(name) + ": the stride of the rows is " + std::to_string(matrix.strides[0]) +
                         " and that of the columns " + std::to_string(matrix.strides[1]) + ", must be at least " +
                         std::to_string(columns) + " and 1");
    }
}
template<typename T>
void check_vector(const char *name, const TensorView<T, 1> &vector, std::int64_t size) {
    if (vector.data && (vector.extents[0] != size || (vector.strides[0] != 1 && size > 1))) {
        fail_extents(name, {vector.extents[0]}, {size});
    }
}

/// Outputs overlap neither each other nor what the call reads. The first `others` are read, too.
template<std::size_t Count>
void check_outputs(const std::array<Named, Count> &outputs, std::size_t others, const LayerParameters &p,
                   const Composed::Call &call, const Sight &sight) {
    const std::array<Named, 12> inputs = {{{"query", call.query},
                                           {"key", call.key},
                                           {"value", call.value},
                                           {"query_weight", p.query_weight},
                                           {"query_bias", p.query_bias},
                                           {"key_weight", p.key_weight},
                                           {"key_bias", p.key_bias},
                                           {"value_weight", p.value_weight},
                                           {"value_bias", p.value_bias},
                                           {"project_weight", p.project_weight},
                                           {"project_bias", p.project_bias},
                                           {"position_bias", p.position_bias}}};
    for (std::size_t i = others; i < Count; ++i) {
        const Named &output = outputs[i];
        for (const Named &input : inputs) {
            check_apart(output.name, output.tensor, input.name, input.tensor);
        }
        check_apart(output.name, output.tensor, sight);
        for (const Named &other : outputs) {
            if (&other != &output) {
                check_apart(output.name, output.tensor, other.name, other.tensor);
            }
        }
    }
}

}  // namespace

LayerOptions training_options(const LayerForm &form, const LayerOptions &options) {
    if (form.varies_by_channel()) {
        throw ConfigError("layer " + std::string(name(form)) + " has no gradients: its bias varies by channel");
    }
    refuse_int8(options, "is for layers that keep their weights, not for training");
    LayerOptions on_cpu = options;
    if (on_cpu.device.empty()) {
        on_cpu.device = "cpu";
    }
    return on_cpu;
}

std::int64_t count_of_saved(std::int64_t batch, std::int64_t rows, std::int64_t channels) {
    constexpr std::int64_t most = std::int64_t{1} << 60;
    if (batch < 0 || rows < 0 || (batch > 0 && rows > most / batch) ||
        (batch * rows > 0 && channels > most / (batch * rows))) {
        throw ShapeError("saved: " + std::to_string(batch) + " samples of " + std::to_string(rows) + " rows of " +
                         std::to_string(channels) + " floats are too many to save");
    }
    return batch * rows * channels;
}

Composed::Call check_training_call(const LayerConfig &config, const Device &device, const LayerParameters &parameters,
                                   const LayerCall &call, const char *y_name, const TensorView<float, 3> &y) {
    if (call.sources) {
        throw ShapeError("sources are kept, but training takes key and value");
    }
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    const bool is_x = is_of_one_input(call);
    const TensorRule queries{"hidden", H, longest_of(config), !is_x};
    const Composed::Call checked = check_call(call, nullptr, y_name, y, config, is_x ? "x" : "query", queries, device);
    if (config.form.has_query()) {
        check_matrix("query_weight", parameters.query_weight, P, H);
        check_vector("query_bias", parameters.query_bias, P);
    }
    check_matrix("key_weight", parameters.key_weight, P, key_hidden(config));
    check_vector("key_bias", parameters.key_bias, P);
    check_matrix("value_weight", parameters.value_weight, P, value_hidden(config));
    check_vector("value_bias", parameters.value_bias, P);
    if (parameters.project_weight.data) {
        check_matrix("project_weight", parameters.project_weight, H, P);
        check_vector("project_bias", parameters.project_bias, H);
    } else if (H != P) {
        throw ShapeError("project_weight isn't given, but hidden is " + std::to_string(H) + " and projected " +
                         std::to_string(P));
    } else if (parameters.project_bias.data) {
        throw ShapeError("project_bias is given, but project_weight isn't");
    }
    if (config.form.has_positions()) {
        check_matrix("position_bias", parameters.position_bias, S, S);
    } else if (parameters.position_bias.data) {
        throw ShapeError("position_bias is given, but layer " + std::string(name(config.form)) +
                         " has no such parameter");
    }
    return checked;
}

void check_results(const TensorView<float, 3> &y, const TensorView<float, 1> &saved, const LayerParameters &parameters,
                   const Composed::Call &checked, const Sight &sight) {
    check_outputs(std::array<Named, 2>{{{"saved", saved}, {"y", y}}}, 0, parameters, checked, sight);
}

void check_gradients(const LayerConfig &config, const LayerGradients &g, const LayerParameters &parameters,
                     const LayerCall &call, const Composed::Call &checked, const Tensor &dy, const Tensor &saved) {
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    const auto check_input = [&](const char *name, const TensorView<float, 3> &gradient,
                                 const TensorView<const float, 3> &input, const char *input_name) {
        if (gradient.data && !is_given(input)) {
            throw ShapeError(std::string(name) + " is given, but " + input_name + " isn't");
        }
        if (gradient.data) {
            check_same_extents(name, gradient, input, input_name);
            check_tensor(name, gradient, {"channels", input.extents[2], longest_of(config)});
        }
    };
    check_input("dquery", g.query, call.query, "query");
    check_input("dkey", g.key, call.key, "key");
    check_input("dvalue", g.value, call.value, "value");
    const auto check_parameter = [](const char *name, const auto &gradient, std::int64_t rows, std::int64_t columns) {
        if (gradient.data) {
            check_matrix(name, gradient, rows, columns);
        }
    };
    check_parameter("dquery_weight", g.query_weight, P, H);
    check_parameter("dkey_weight", g.key_weight, P, key_hidden(config));
    check_parameter("dvalue_weight", g.value_weight, P, value_hidden(config));
    check_parameter("dproject_weight", g.project_weight, H, P);
    check_parameter("dposition_bias", g.position_bias, S, S);
    check_vector("dquery_bias", g.query_bias, P);
    check_vector("dkey_bias", g.key_bias, P);
    check_vector("dvalue_bias", g.value_bias, P);
    check_vector("dproject_bias", g.project_bias, H);
    if (!parameters.project_weight.data && (g.project_weight.data || g.project_bias.data)) {
        throw ShapeError("dproject is given, but project_weight isn't");
    }
    if (!config.form.has_query() && (g.query_weight.data || g.query_bias.data)) {
        throw ShapeError("dquery_weight or dquery_bias is given, but a layer without a gate has no query");
    }
    if (g.position_bias.data && !config.form.has_positions()) {
        throw ShapeError("dposition_bias is given, but layer " + std::string(name(config.form)) +
                         " has no such parameter");
    }
    if (g.given_bias.data) {
        if (!config.form.takes_bias()) {
            throw ShapeError("dgiven_bias is given, but layer " + std::string(name(config.form)) + " takes no bias");
        }
        check_same_extents("dgiven_bias", g.given_bias, call.sight.position_bias, "position_bias");
        check_tensor("dgiven_bias", g.given_bias, {"sources", g.given_bias.extents[2], 0, true});
    }
    const std::array<Named, 15> outputs = {{{"dy", dy},
                                            {"saved", saved},
                                            {"dquery", g.query},
                                            {"dkey", g.key},
                                            {"dvalue", g.value},
                                            {"dquery_weight", g.query_weight},
                                            {"dquery_bias", g.query_bias},
                                            {"dkey_weight", g.key_weight},
                                            {"dkey_bias", g.key_bias},
                                            {"dvalue_weight", g.value_weight},
                                            {"dvalue_bias", g.value_bias},
                                            {"dproject_weight", g.project_weight},
                                            {"dproject_bias", g.project_bias},
                                            {"dgiven_bias", g.given_bias},
                                            {"dposition_bias", g.position_bias}}};
    check_outputs(outputs, 2, parameters, checked, call.sight);
}

void check_saved(const TensorView<float, 1> &saved, std::int64_t size) {
    if (saved.extents[0] != size || (size > 0 && (!saved.data || saved.strides[0] != 1))) {
        throw ShapeError("saved is [" + std::to_string(saved.extents[0]) + "], must be [" + std::to_string(size) +
                         "], without gaps");
    }
}

}  // namespace aft
