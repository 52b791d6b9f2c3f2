#include "c/c_arguments.h"
#include "c/c_infos.h"
#include "c/c_objects.h"

using namespace aft;

aft_status aft_layer_create(const aft_config *config, const aft_weights *weights, const aft_layer_options *options,
                            aft_layer **layer) {
    return guarded([&] {
        aft_layer *&result = given("layer", layer);
        const LayerConfig layer_config = read_config(config);
        const LayerOptions layer_options = read_options(options);
        result = new aft_layer{Layer(layer_config, given("weights", weights).values, layer_options)};
    });
}

void aft_layer_destroy(aft_layer *layer) {
    delete layer;
}

aft_status aft_layer_forward(const aft_layer *layer, const int64_t extents[3], const float *x, const int64_t *x_strides,
                             float *y, const int64_t *y_strides) {
    return guarded([&] {
        given("layer", layer).layer.forward(view("x", x, extents, x_strides), view("y", y, extents, y_strides));
    });
}

aft_status aft_layer_call(const aft_layer *layer, const aft_layer_inputs *inputs, const int64_t extents[3], float *y,
                          const int64_t *y_strides) {
    return guarded([&] {
        const Layer &called = given("layer", layer).layer;
        called.forward(read_inputs(inputs, extents), view("y", y, extents, y_strides));
    });
}

aft_status aft_layer_step(const aft_layer *layer, aft_state *state, const int64_t extents[3], const float *x,
                          const int64_t *x_strides, const int64_t *lengths, float *y, const int64_t *y_strides) {
    return guarded([&] {
        const Layer &called = given("layer", layer).layer;
        State &positions = given("state", state).state;
        const TensorView<const float, 3> from = view("x", x, extents, x_strides);
        called.step(positions, from, view("y", y, extents, y_strides), read_lengths(lengths, extents[0]));
    });
}

aft_status aft_sources_create(const aft_layer *layer, const aft_tensor *key, const aft_tensor *value,
                              aft_sources **sources) {
    return guarded([&] {
        aft_sources *&result = given("sources", sources);
        const Layer &called = given("layer", layer).layer;
        const TensorView<const float, 3> of_values = value ? read_tensor(*value) : TensorView<const float, 3>();
        result = new aft_sources{called.sources(read_tensor(given("key", key)), of_values)};
    });
}

void aft_sources_destroy(aft_sources *sources) {
    delete sources;
}

aft_status aft_layer_forward_cuda(const aft_layer *layer, const int64_t extents[3], const float *x,
                                  const int64_t *x_strides, float *y, const int64_t *y_strides, void *stream) {
    return guarded([&] {
        const DeviceView<const float, 3> from{view("x", x, extents, x_strides)};
        const DeviceView<float, 3> to{view("y", y, extents, y_strides)};
        given("layer", layer).layer.forward(from, to, stream);
    });
}

aft_status aft_layer_synchronize(const aft_layer *layer) {
    return guarded([&] { given("layer", layer).layer.synchronize(); });
}

aft_status aft_layer_device(const aft_layer *layer, const aft_device_info **device) {
    return guarded([&] { given("device", device) = c_info(given("layer", layer).layer.device()); });
}

aft_status aft_layer_kernel_for(const aft_layer *layer, int64_t batch, int64_t seq, const aft_kernel_info **kernel) {
    return guarded([&] { given("kernel", kernel) = c_info(given("layer", layer).layer.kernel_for({batch, seq})); });
}

aft_status aft_layer_config(const aft_layer *layer, aft_config *config) {
    return guarded([&] {
        read_struct("config", config);
        write_config(given("layer", layer).layer.config(), config);
    });
}

aft_status aft_layer_scratch_bytes(const aft_layer *layer, uint64_t *bytes) {
    return guarded([&] { given("bytes", bytes) = given("layer", layer).layer.scratch_bytes(); });
}
