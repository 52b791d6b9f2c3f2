#include "halide/halide_runtime.h"

#include "halide/device_context.h"
#include "halide/halide.h"
#include "halide/limits.h"
#include "threads/float_environment.h"
#include "threads/threads.h"

#include <aft/error.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <type_traits>

namespace aft {
namespace {

void on_error(void *user_context, const char *message) {
    if (auto *call = static_cast<HalideCall *>(user_context)) {
        if (call->scratch) {
            call->scratch->fail();
        }
        const std::lock_guard lock(call->mutex);
        if (!call->first_error[0]) {
            std::strncpy(call->first_error.data(), message, call->first_error.size() - 1);
        }
    }
}

void on_print(void *, const char *) {}

void *on_malloc(void *user_context, std::size_t bytes) {
    const auto *call = static_cast<HalideCall *>(user_context);
    return ScratchPool::allocate(call ? call->scratch : nullptr, bytes);
}

void on_free(void *user_context, void *memory) {
    const auto *call = static_cast<HalideCall *>(user_context);
    ScratchPool::release(call ? call->scratch : nullptr, memory);
}

int on_parallel_loop(void *user_context, halide_task_t task, int first, int count, std::uint8_t *closure) {
    struct Body {
        void *user_context;
        halide_task_t task;
        int first;
        std::uint8_t *closure;
        std::atomic<int> error = 0;

        int run(int index) const {
            const ScratchPool::Task scope;
            return task(user_context, index, closure);
        }
    } body{user_context, task, first, closure};
    if (const ProgramThreads &program = program_threads(); program.run) {
        const auto iteration = [](void *argument, int index) {
            Body &body = *static_cast<Body *>(argument);
            if (body.error == 0) {
                const FloatEnvironment during;
                const int error = body.run(body.first + index);
                int none = 0;
                body.error.compare_exchange_strong(none, error);
            }
        };
        program.run(program.context, count, iteration, &body);
        return body.error;
    }
    const auto iteration = [](void *argument, int index) { return static_cast<const Body *>(argument)->run(index); };
    return threads().run(iteration, &body, first, count);
}

constexpr KernelHost kernel_host = {on_malloc, on_free, on_parallel_loop, on_error};
static_assert(std::is_standard_layout_v<HalideCall>, "a pointer to it is one to its first member");

/// Halide's runtime, set up on first use.
struct HalideRuntime {
    HalideRuntime() {
        halide_set_error_handler(on_error);
        halide_set_custom_print(on_print);
        halide_set_custom_malloc(on_malloc);
        halide_set_custom_free(on_free);
        halide_set_custom_do_par_for(on_parallel_loop);
        threads();  // makes the pool, which may throw: a loop must not
    }
};

HalideRuntime &halide_runtime() {
    static HalideRuntime runtime;
    return runtime;
}

/// The message without the line breaks at the end of some of Halide's messages.
std::string one_line(const char *message) {
    std::string line = message;
    line.erase(line.find_last_not_of(" \r\n") + 1);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

/// A tensor has too many elements, or a kernel stores too many bytes between two stages: the more, the larger the
/// batch.
bool is_too_large(int code) {
    return code == halide_error_code_buffer_allocation_too_large || code == halide_error_code_buffer_extents_too_large;
}

/// The device fails: no memory, no context, a lost driver. The kernel doesn't.
bool is_of_device(int code) {
    switch (code) {
        case halide_error_code_copy_to_host_failed:
        case halide_error_code_copy_to_device_failed:
        case halide_error_code_device_malloc_failed:
        case halide_error_code_device_sync_failed:
        case halide_error_code_device_free_failed:
        case halide_error_code_no_device_interface:
        case halide_error_code_device_buffer_copy_failed: return true;
        default: return false;
    }
}

}  // namespace

HalideCall::HalideCall(ScratchPool::Call *scratch) : host(&kernel_host), scratch(scratch) {
    halide_runtime();
}

HalideCall::HalideCall(const DeviceContext *device, Stream stream)
    : host(&kernel_host), device(device), stream(stream) {
    halide_runtime();
}

void HalideCall::check(const char *who, int code) const {
    if (code == halide_error_code_success) {
        return;
    }
    const std::string message = std::string(who) + ": " + (first_error[0] ? one_line(first_error.data()) : "failed") +
                                " (Halide error " + std::to_string(code) + ")";
    if (device && is_of_device(code)) {
        throw DeviceError(device->device.id + ": " + message);
    }
    if (is_too_large(code)) {
        throw TooLarge(message);
    }
    throw KernelError(message);
}

void DeviceContext::free(halide_buffer_t &buffer) const noexcept {
    if (is_of_this_process()) {
        const auto turn = lock();
        HalideCall call(this);
        halide_device_free(&call, &buffer);
    }
}

void call_kernel(const char *id, KernelFunction function, void **arguments, int context_argument, HalideCall &call) {
    void *context = &call;
    arguments[context_argument] = &context;
    const auto run = [&] {
        const FloatEnvironment during;
        return function(arguments);
    };
    call.check(id, run());
}

}  // namespace aft
