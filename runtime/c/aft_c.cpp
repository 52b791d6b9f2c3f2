#include "c/c_arguments.h"

#include <aft/threads.h>

using namespace aft;

const char *aft_version() {
    return AFT_VERSION;
}

const char *aft_last_error() {
    return last_message();
}

aft_status aft_set_thread_count(int32_t threads) {
    return guarded([&] { set_thread_count(threads); });
}

aft_status aft_set_parallel_for(aft_parallel_for run, void *context) {
    return guarded([&] { set_parallel_for(run, context); });
}

aft_status aft_thread_count(int32_t *threads) {
    return guarded([&] { given("threads", threads) = thread_count(); });
}
