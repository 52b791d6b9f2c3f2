#include "halide/halide_runtime.h"

#include "halide/halide.h"
#include "threads/float_environment.h"
#include "threads/processors.h"
#include "threads/thread_pool.h"

#include <aft/error.h>
#include <aft/layer.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <pthread.h>
#include <string>

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

ThreadPool &threads();

/// The threads of the process. They end at its exit, and when a shared library with this code is unloaded. The pool
/// itself stays: other threads may still be in calls at exit.
struct ProcessThreads {
    union {
        ThreadPool pool;
    };

    ProcessThreads() : pool(std::min(processors(), ThreadPool::max_threads)) {
        if (pthread_atfork(nullptr, nullptr, [] { threads().start_anew(); }) != 0) {
            throw std::bad_alloc();
        }
    }
    ~ProcessThreads() {
        pool.stop();
    }
};

ThreadPool &threads() {
    static ProcessThreads all;
    return all.pool;
}

int on_parallel_loop(void *user_context, halide_task_t task, int first, int count, std::uint8_t *closure) {
    struct Body {
        void *user_context;
        halide_task_t task;
        std::uint8_t *closure;
    } body{user_context, task, closure};
    const auto iteration = [](void *argument, int index) {
        const ScratchPool::Task scope;
        const Body &body = *static_cast<const Body *>(argument);
        return body.task(body.user_context, index, body.closure);
    };
    return threads().run(iteration, &body, first, count);
}

/// Halide's runtime, set up on first use.
struct HalideRuntime {
    HalideRuntime() {
        halide_set_error_handler(on_error);
        halide_set_custom_print(on_print);
        halide_set_custom_malloc(on_malloc);
        halide_set_custom_free(on_free);
        halide_set_custom_do_par_for(on_parallel_loop);
        threads();  // no loop may be the first to make them: nothing must be thrown there
    }
};

HalideRuntime &halide_runtime() {
    static HalideRuntime runtime;
    return runtime;
}

/// "message" without the line breaks that Halide ends some messages with.
std::string one_line(const char *message) {
    std::string line = message;
    line.erase(line.find_last_not_of(" \r\n") + 1);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

/// The advice for a buffer that is too large: a kernel keeps more between two stages the larger the batch is.
const char *advice(int code, std::int64_t batch) {
    const bool is_too_large =
        code == halide_error_code_buffer_allocation_too_large || code == halide_error_code_buffer_extents_too_large;
    if (!is_too_large || batch == 0) {
        return "";
    }
    return batch > 1 ? ", use a smaller batch" : ", use a shorter sequence";
}

/// No memory, no context, a lost driver; not a kernel that fails.
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

HalideCall::HalideCall(ScratchPool::Call *scratch) : scratch(scratch) {
    halide_runtime();
}

HalideCall::HalideCall(const DeviceContext *device, Stream stream) : device(device), stream(stream) {
    halide_runtime();
}

void HalideCall::check(const char *who, int code) const {
    if (code == halide_error_code_success) {
        return;
    }
    const std::string message = std::string(who) + ": " + (first_error[0] ? one_line(first_error.data()) : "failed") +
                                " (Halide error " + std::to_string(code) + ")" + advice(code, batch);
    if (device && is_of_device(code)) {
        throw DeviceError(device->device.id + ": " + message);
    }
    throw KernelError(message);
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

void set_thread_count(int threads) {
    if (threads < 1 || threads > ThreadPool::max_threads) {
        throw ConfigError("thread count is " + std::to_string(threads) + ", must be 1 to " +
                          std::to_string(ThreadPool::max_threads));
    }
    aft::threads().set_threads(threads);
}

int thread_count() {
    return threads().threads();
}

}  // namespace aft
