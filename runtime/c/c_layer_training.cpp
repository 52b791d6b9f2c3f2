#include "c/c_arguments.h"
#include "c/c_objects.h"
#include "weights/parameters.h"

namespace aft {
namespace {

/// A null pointer is no tensor.
template<typename T>
TensorView<T, 2> matrix(T *data, std::int64_t rows, std::int64_t columns) {
    return data ? TensorView<T, 2>(data, {rows, columns}) : TensorView<T, 2>();
}
template<typename T>
TensorView<T, 1> vector(T *data, std::int64_t size) {
    return data ? TensorView<T, 1>(data, {size}) : TensorView<T, 1>();
}

LayerParameters read_parameters(const aft_parameters *pointer, const LayerConfig &config) {
    const aft_parameters p = read_struct("parameters", pointer);
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    LayerParameters parameters;
    if (config.form.has_query()) {
        parameters.query_weight = matrix(&given("query_weight", p.query_weight), P, H);
        parameters.query_bias = vector(p.query_bias, P);
    }
    parameters.key_weight = matrix(&given("key_weight", p.key_weight), P, key_hidden(config));
    parameters.key_bias = vector(p.key_bias, P);
    parameters.value_weight = matrix(&given("value_weight", p.value_weight), P, value_hidden(config));
    parameters.value_bias = vector(p.value_bias, P);
    parameters.project_weight = matrix(p.project_weight, H, P);
    parameters.project_bias = vector(p.project_bias, H);
    parameters.position_bias = config.form.has_positions() ? matrix(&given("position_bias", p.position_bias), S, S)
                                                           : matrix(p.position_bias, S, S);
    return parameters;
}

LayerGradients read_gradients(const aft_layer_gradients *pointer, const LayerConfig &config) {
    const aft_layer_gradients g = read_struct("gradients", pointer);
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    LayerGradients gradients;
    gradients.query = read_gradient(g.query);
    gradients.key = read_gradient(g.key);
    gradients.value = read_gradient(g.value);
    gradients.query_weight = matrix(g.query_weight, P, H);
    gradients.query_bias = vector(g.query_bias, P);
    gradients.key_weight = matrix(g.key_weight, P, key_hidden(config));
    gradients.key_bias = vector(g.key_bias, P);
    gradients.value_weight = matrix(g.value_weight, P, value_hidden(config));
    gradients.value_bias = vector(g.value_bias, P);
    gradients.project_weight = matrix(g.project_weight, H, P);
    gradients.project_bias = vector(g.project_bias, H);
    gradients.given_bias = read_gradient(g.given_bias);
    gradients.position_bias = matrix(g.position_bias, S, S);
    return gradients;
}

}  // namespace
}  // namespace aft

using namespace aft;

aft_status aft_layer_training_create(const aft_config *config, const aft_layer_options *options,
                                     aft_layer_training **training) {
    return guarded([&] {
        aft_layer_training *&result = given("training", training);
        const LayerConfig layer_config = read_config(config);
        result = new aft_layer_training{LayerTraining(layer_config, read_options(options))};
    });
}

void aft_layer_training_destroy(aft_layer_training *training) {
    delete training;
}

aft_status aft_layer_training_saved_size(const aft_layer_training *training, const aft_layer_inputs *inputs,
                                         const int64_t extents[3], int64_t *size) {
    return guarded([&] {
        std::int64_t &result = given("size", size);
        result = given("training", training).training.saved_size(read_inputs(inputs, extents));
    });
}

aft_status aft_layer_training_forward(const aft_layer_training *training, const aft_parameters *parameters,
                                      const aft_layer_inputs *inputs, const int64_t extents[3], float *y,
                                      const int64_t *y_strides, float *saved) {
    return guarded([&] {
        const LayerTraining &called = given("training", training).training;
        const LayerCall call = read_inputs(inputs, extents);
        const TensorView<float, 3> result = view("y", y, extents, y_strides);
        called.forward(read_parameters(parameters, called.config()), call, result, {saved, {called.saved_size(call)}});
    });
}

aft_status aft_layer_training_backward(const aft_layer_training *training, const aft_parameters *parameters,
                                       const aft_layer_inputs *inputs, const int64_t extents[3], const float *dy,
                                       const int64_t *dy_strides, const float *saved,
                                       const aft_layer_gradients *gradients) {
    return guarded([&] {
        const LayerTraining &called = given("training", training).training;
        const LayerCall call = read_inputs(inputs, extents);
        const TensorView<const float, 3> of_result = view("dy", dy, extents, dy_strides);
        called.backward(read_parameters(parameters, called.config()), call, of_result,
                        {saved, {called.saved_size(call)}}, read_gradients(gradients, called.config()));
    });
}

aft_status aft_layer_training_config(const aft_layer_training *training, aft_config *config) {
    return guarded([&] {
        read_struct("config", config);
        write_config(given("training", training).training.config(), config);
    });
}

aft_status aft_layer_training_scratch_bytes(const aft_layer_training *training, uint64_t *bytes) {
    return guarded([&] { given("bytes", bytes) = given("training", training).training.scratch_bytes(); });
}
