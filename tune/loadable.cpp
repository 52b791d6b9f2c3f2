// The part of a kernel's shared object that hands the calls of its Halide runtime on to the library that runs it.
#include "halide/kernel_host.h"

#include <HalideRuntime.h>

namespace {

/// The user context begins with a pointer to it.
const aft::KernelHost &host_of(void *user_context) {
    return **static_cast<const aft::KernelHost *const *>(user_context);
}

void *on_malloc(void *user_context, std::size_t bytes) {
    return host_of(user_context).allocate(user_context, bytes);
}

void on_free(void *user_context, void *memory) {
    host_of(user_context).release(user_context, memory);
}

int on_parallel_loop(void *user_context, halide_task_t task, int first, int count, std::uint8_t *closure) {
    return host_of(user_context).parallel_loop(user_context, task, first, count, closure);
}

void on_error(void *user_context, const char *message) {
    host_of(user_context).fail(user_context, message);
}

void on_print(void *, const char *) {}

// When the system loads the object.
[[gnu::constructor]] void set_up() {
    halide_set_custom_malloc(on_malloc);
    halide_set_custom_free(on_free);
    halide_set_custom_do_par_for(on_parallel_loop);
    halide_set_error_handler(on_error);
    halide_set_custom_print(on_print);
}

}  // namespace

extern "C" {
extern const int aft_kernel_abi;
const int aft_kernel_abi = aft::kernel_abi;
}
