#include <aft/aft_c.h>

#include <stdio.h>
#include <stdlib.h>

static void check(aft_status status) {
    if (status != AFT_OK) {
        fprintf(stderr, "%s\n", aft_last_error());
        exit(EXIT_FAILURE);
    }
}

enum { batch = 2, channels = 32 };

// The mean of all values so far, position by position: wkv without a decay, a bonus or a gate.
int main(void) {
    const aft_config config = {.struct_size = sizeof(config),
                               .kind = AFT_LAYER_WKV,
                               .projected = channels,
                               .max_seq_len = 1,
                               .gate = AFT_GATE_NONE};
    static const float zeros[batch * channels];
    const aft_parameters parameters = {.struct_size = sizeof(parameters), .decay = zeros, .bonus = zeros};
    aft_weights *weights = NULL;
    check(aft_weights_copy_core(&config, &parameters, &weights));
    aft_core *core = NULL;
    check(aft_core_create(&config, weights, NULL, &core));
    aft_weights_destroy(weights);
    aft_state *state = NULL;
    check(aft_state_create(&config, batch, &state));

    static float value[batch * channels], y[batch * channels];
    const int64_t extents[] = {batch, 1, channels};
    const aft_core_inputs inputs = {.struct_size = sizeof(inputs),
                                    .key = {.data = zeros, .extents = {batch, 1, channels}},
                                    .value = {.data = value, .extents = {batch, 1, channels}}};
    for (int t = 0; t < 4; ++t) {
        for (int i = 0; i < batch * channels; ++i) {
            value[i] = (float)t;
        }
        check(aft_core_step(core, state, &inputs, extents, y, NULL));
        printf("y[%d] = %g\n", t, y[0]);
    }
    aft_state_destroy(state);
    aft_core_destroy(core);
    return 0;
}
