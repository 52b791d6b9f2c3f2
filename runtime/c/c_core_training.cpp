#include "c/c_arguments.h"
#include "c/c_objects.h"

namespace aft {
namespace {

CoreParameters read_parameters(const aft_core_parameters *pointer, const CoreTraining &training) {
    CoreParameters parameters;
    if (pointer) {
        const std::int64_t S = training.config().max_seq_len;
        parameters.position_bias = {read_struct("parameters", pointer).position_bias, {S, S}};
    }
    return parameters;
}

CoreGradients read_gradients(const aft_core_gradients *pointer, const CoreTraining &training) {
    const aft_core_gradients gradients = read_struct("gradients", pointer);
    const std::int64_t S = training.config().max_seq_len;
    return {read_gradient(gradients.query),
            read_gradient(gradients.key),
            read_gradient(gradients.value),
            read_gradient(gradients.given_bias),
            {gradients.position_bias, {S, S}}};
}

/// All that a call saves.
template<typename T>
TensorView<T, 1> view_of_saved(T *saved, const CoreTraining &training, const std::int64_t *extents,
                               const Sight &sight) {
    return {saved, {training.saved_size({extents[0], extents[1]}, sight)}};
}

}  // namespace
}  // namespace aft

using namespace aft;

aft_status aft_core_training_create(const aft_config *config, const aft_layer_options *options,
                                    aft_core_training **training) {
    return guarded([&] {
        aft_core_training *&result = given("training", training);
        const LayerConfig core_config = read_config(config);
        result = new aft_core_training{CoreTraining(core_config, read_options(options))};
    });
}

void aft_core_training_destroy(aft_core_training *training) {
    delete training;
}

aft_status aft_core_training_saved_size(const aft_core_training *training, int64_t batch, int64_t targets,
                                        const aft_sight *sight, int64_t *size) {
    return guarded([&] {
        std::int64_t &result = given("size", size);
        result = given("training", training).training.saved_size({batch, targets}, read_sight(sight, &batch));
    });
}

aft_status aft_core_training_forward(const aft_core_training *training, const aft_core_parameters *parameters,
                                     const aft_core_inputs *inputs, const int64_t extents[3], float *y,
                                     const int64_t *y_strides, float *saved) {
    return guarded([&] {
        const CoreTraining &called = given("training", training).training;
        const CoreCall call = read_inputs(inputs, extents);
        const TensorView<float, 3> result = view("y", y, extents, y_strides);
        called.forward(read_parameters(parameters, called), call, result,
                       view_of_saved(saved, called, extents, call.sight));
    });
}

aft_status aft_core_training_partial(const aft_core_training *training, const aft_core_parameters *parameters,
                                     const aft_core_inputs *inputs, const int64_t extents[3], float *mean,
                                     const int64_t *mean_strides, float *log_weight,
                                     const int64_t *log_weight_strides) {
    return guarded([&] {
        const CoreTraining &called = given("training", training).training;
        const CoreCall call = read_inputs(inputs, extents);
        called.partial(read_parameters(parameters, called), call, view("mean", mean, extents, mean_strides),
                       view("log_weight", log_weight, extents, log_weight_strides));
    });
}

aft_status aft_core_training_backward(const aft_core_training *training, const aft_core_parameters *parameters,
                                      const aft_core_inputs *inputs, const int64_t extents[3], const float *dy,
                                      const int64_t *dy_strides, const float *saved,
                                      const aft_core_gradients *gradients) {
    return guarded([&] {
        const CoreTraining &called = given("training", training).training;
        const CoreCall call = read_inputs(inputs, extents);
        const TensorView<const float, 3> of_result = view("dy", dy, extents, dy_strides);
        called.backward(read_parameters(parameters, called), call, of_result,
                        view_of_saved(saved, called, extents, call.sight), read_gradients(gradients, called));
    });
}

aft_status aft_core_training_config(const aft_core_training *training, aft_config *config) {
    return guarded([&] {
        read_struct("config", config);
        write_config(given("training", training).training.config(), config);
    });
}

aft_status aft_core_training_scratch_bytes(const aft_core_training *training, uint64_t *bytes) {
    return guarded([&] { given("bytes", bytes) = given("training", training).training.scratch_bytes(); });
}
