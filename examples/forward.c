#include <aft/aft_c.h>

#include <stdio.h>
#include <stdlib.h>

static void check(aft_status status) {
    if (status != AFT_OK) {
        fprintf(stderr, "%s\n", aft_last_error());
        exit(EXIT_FAILURE);
    }
}

static void fill(float *values, int count, float value) {
    for (int i = 0; i < count; ++i) {
        values[i] = value;
    }
}

static float in[32 * 64], out[64 * 32], bias[128 * 128], x[2 * 100 * 64], y[2 * 100 * 64];

int main(void) {
    fill(in, 32 * 64, 0.01f);
    fill(out, 64 * 32, 0.02f);
    fill(bias, 128 * 128, 0.5f);
    fill(x, 2 * 100 * 64, 1.0f);

    const aft_config config = {.struct_size = sizeof(config),
                               .kind = AFT_LAYER_LOCAL,
                               .hidden = 64,
                               .projected = 32,
                               .max_seq_len = 128,
                               .window = 16};
    const aft_parameters parameters = {.struct_size = sizeof(parameters),
                                       .query_weight = in,
                                       .key_weight = in,
                                       .value_weight = in,
                                       .project_weight = out,
                                       .position_bias = bias};
    aft_weights *weights = NULL;
    check(aft_weights_copy(&config, &parameters, &weights));  // or aft_weights_load("model.safetensors", ...)
    aft_layer *layer = NULL;
    check(aft_layer_create(&config, weights, NULL, &layer));
    aft_weights_destroy(weights);

    const int64_t extents[] = {/*batch=*/2, /*seq=*/100, /*hidden=*/64};
    check(aft_layer_forward(layer, extents, x, NULL, y, NULL));

    const aft_kernel_info *kernel = NULL;
    check(aft_layer_kernel_for(layer, 2, 100, &kernel));
    printf("%s: y[0] = %g\n", kernel->id, y[0]);
    aft_layer_destroy(layer);
    return 0;
}
