#include "c_callers.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct caller {
    const aft_layer *layer;
    const int64_t *extents;
    const float *x, *expected;
    size_t bytes;
    int number, mistakes;
};

static void *call(void *argument) {
    struct caller *caller = argument;
    char message[64];
    snprintf(message, sizeof(message), "seq is %d, must be", -1 - caller->number);
    float *y = malloc(caller->bytes);
    for (int repeat = 0; repeat < 20; ++repeat) {
        memset(y, 0xff, caller->bytes);
        const aft_status status = aft_layer_forward(caller->layer, caller->extents, caller->x, NULL, y, NULL);
        caller->mistakes += status != AFT_OK || memcmp(y, caller->expected, caller->bytes) != 0;

        const aft_kernel_info *kernel = NULL;
        caller->mistakes += aft_layer_kernel_for(caller->layer, 1, -1 - caller->number, &kernel) != AFT_ERROR_SHAPE;
        sched_yield();
        caller->mistakes += strncmp(aft_last_error(), message, strlen(message)) != 0;
    }
    free(y);
    return NULL;
}

int call_from_four_threads(const aft_layer *layer, const int64_t extents[3], const float *x, const float *expected,
                           size_t bytes) {
    struct caller callers[4];
    pthread_t threads[4];  // ThreadSanitizer doesn't know those of <threads.h>
    int started = 0, mistakes = 0;
    for (; started < 4; ++started) {
        callers[started] = (struct caller){layer, extents, x, expected, bytes, started, 0};
        if (pthread_create(&threads[started], NULL, call, &callers[started]) != 0) {
            break;
        }
    }
    for (int i = 0; i < started; ++i) {
        pthread_join(threads[i], NULL);
        mistakes += callers[i].mistakes;
    }
    return mistakes + 4 - started;
}
