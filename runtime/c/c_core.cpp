#include "c/c_arguments.h"
#include "c/c_infos.h"
#include "c/c_objects.h"

using namespace aft;

aft_status aft_core_create(const aft_config *config, const aft_weights *weights, const aft_layer_options *options,
                           aft_core **core) {
    return guarded([&] {
        aft_core *&result = given("core", core);
        const LayerConfig core_config = read_config(config);
        const LayerOptions core_options = read_options(options);
        result = new aft_core{Core(core_config, weights ? weights->values : Weights(), core_options)};
    });
}

void aft_core_destroy(aft_core *core) {
    delete core;
}

aft_status aft_core_forward(const aft_core *core, const aft_core_inputs *inputs, const int64_t extents[3], float *y,
                            const int64_t *y_strides) {
    return guarded([&] {
        const Core &called = given("core", core).core;
        called.forward(read_inputs(inputs, extents), view("y", y, extents, y_strides));
    });
}

aft_status aft_core_step(const aft_core *core, aft_state *state, const aft_core_inputs *inputs,
                         const int64_t extents[3], float *y, const int64_t *y_strides) {
    return guarded([&] {
        const Core &called = given("core", core).core;
        State &positions = given("state", state).state;
        called.step(positions, read_inputs(inputs, extents), view("y", y, extents, y_strides));
    });
}

aft_status aft_core_device(const aft_core *core, const aft_device_info **device) {
    return guarded([&] { given("device", device) = c_info(given("core", core).core.device()); });
}

aft_status aft_core_kernel_for(const aft_core *core, int64_t targets, int64_t sources, const aft_kernel_info **kernel) {
    return guarded([&] { given("kernel", kernel) = c_info(given("core", core).core.kernel_for(targets, sources)); });
}

aft_status aft_core_config(const aft_core *core, aft_config *config) {
    return guarded([&] {
        read_struct("config", config);
        write_config(given("core", core).core.config(), config);
    });
}

aft_status aft_core_scratch_bytes(const aft_core *core, uint64_t *bytes) {
    return guarded([&] { given("bytes", bytes) = given("core", core).core.scratch_bytes(); });
}
