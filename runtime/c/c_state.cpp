#include "c/c_arguments.h"
#include "c/c_objects.h"

using namespace aft;

aft_status aft_state_create(const aft_config *config, int64_t batch, aft_state **state) {
    return guarded([&] {
        aft_state *&result = given("state", state);
        result = new aft_state{State(read_config(config), batch)};
    });
}

aft_status aft_state_copy(const aft_state *from, aft_state **state) {
    return guarded([&] {
        aft_state *&result = given("state", state);
        result = new aft_state{given("from", from).state};
    });
}

aft_status aft_state_copy_sample(aft_state *state, int64_t sample, const aft_state *from, int64_t from_sample) {
    return guarded([&] { given("state", state).state.copy(sample, given("from", from).state, from_sample); });
}

aft_status aft_state_reset(aft_state *state, int64_t sample) {
    return guarded([&] { given("state", state).state.reset(sample); });
}

aft_status aft_state_batch(const aft_state *state, int64_t *batch) {
    return guarded([&] { given("batch", batch) = given("state", state).state.batch(); });
}

aft_status aft_state_position(const aft_state *state, int64_t sample, int64_t *position) {
    return guarded([&] { given("position", position) = given("state", state).state.position(sample); });
}

aft_status aft_state_save(const aft_state *state, const char *path) {
    return guarded([&] { write_safetensors(&given("path", path), given("state", state).state.tensors()); });
}

aft_status aft_state_load(const char *path, const aft_config *config, aft_state **state) {
    return guarded([&] {
        aft_state *&result = given("state", state);
        const LayerConfig layer_config = read_config(config);
        result = new aft_state{State::from_tensors(read_safetensors(&given("path", path)), layer_config)};
    });
}

void aft_state_destroy(aft_state *state) {
    delete state;
}
