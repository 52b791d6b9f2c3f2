#include "devices/cuda_driver.h"

#include "halide/halide_devices.h"
#include "halide/halide_runtime.h"

#include <aft/error.h>

#include <cstdlib>
#include <map>
#include <sstream>

namespace aft {
namespace {

using Result = int;  // CUresult: 0 is success
enum DeviceAttribute { capability_major = 75, capability_minor = 76 };
enum PointerAttribute { memory_type = 2, device_ordinal = 9 };
constexpr unsigned memory_of_device = 2;

/// The driver's functions that are called here. Halide's runtime calls the others.
struct Cuda {
    // Halide's runtime looks for "libcuda.so", which comes with the toolkit, unless the process has the functions
    // already. A driver without the toolkit has the .so.1 only.
    DriverLibrary library{"libcuda.so.1", true};
    Result (*init)(unsigned);
    Result (*error_name)(Result, const char **);
    Result (*device_count)(int *);
    Result (*device_get)(int *, int);
    Result (*device_name)(char *, int, int);
    Result (*device_memory)(std::size_t *, int);
    Result (*device_attribute)(int *, int, int);
    Result (*retain_primary_context)(void **, int);
    Result (*release_primary_context)(int);
    Result (*push_context)(void *);
    Result (*pop_context)(void **);
    Result (*synchronize)();
    Result (*pointer_attribute)(void *, int, unsigned long long);
    Result (*fill_bytes)(unsigned long long, unsigned char, std::size_t, void *);
    Result (*fill_words)(unsigned long long, unsigned, std::size_t, void *);

    Cuda() {
        library.find("cuInit", init);
        library.find("cuGetErrorName", error_name);
        library.find("cuDeviceGetCount", device_count);
        library.find("cuDeviceGet", device_get);
        library.find("cuDeviceGetName", device_name);
        library.find("cuDeviceTotalMem_v2", device_memory);
        library.find("cuDeviceGetAttribute", device_attribute);
        library.find("cuDevicePrimaryCtxRetain", retain_primary_context);
        library.find("cuDevicePrimaryCtxRelease", release_primary_context);
        library.find("cuCtxPushCurrent_v2", push_context);
        library.find("cuCtxPopCurrent_v2", pop_context);
        library.find("cuCtxSynchronize", synchronize);
        library.find("cuPointerGetAttribute", pointer_attribute);
        library.find("cuMemsetD8Async", fill_bytes);
        library.find("cuMemsetD32Async", fill_words);
    }

    std::string error(const char *what, Result code) const {
        const char *name = nullptr;
        error_name(code, &name);
        return std::string(what) + ": " + (name ? name : "error") + " (" + std::to_string(code) + ")";
    }
};

Cuda &cuda() {
    static Cuda driver;
    return driver;
}

/// While it lives, a context is the current one of this thread.
class Current {
public:
    explicit Current(void *context) : code(cuda().push_context(context)) {}
    ~Current() {
        void *popped = nullptr;
        if (code == 0) {
            cuda().pop_context(&popped);
        }
    }
    Current(const Current &) = delete;
    Current &operator=(const Current &) = delete;

    const Result code;
};

const HalideCall *call_of(void *user_context) {
    return static_cast<const HalideCall *>(user_context);
}

/// Gives Halide the context of the call's device: its own would be a private one. At the end of the process, it asks
/// once more, without a call.
int on_acquire_context(void *user_context, void **context, bool create) {
    const HalideCall *call = call_of(user_context);
    *context = call && call->device ? call->device->context : nullptr;
    return *context || !create ? halide_error_code_success : halide_error_code_gpu_device_error;
}

int on_release_context(void *) {
    return halide_error_code_success;
}

int on_get_stream(void *user_context, void *, void **stream) {
    const HalideCall *call = call_of(user_context);
    *stream = call ? call->stream : nullptr;
    return halide_error_code_success;
}

void set_up_halide() {
    halide_set_cuda_acquire_context(on_acquire_context);
    halide_set_cuda_release_context(on_release_context);
    halide_set_cuda_get_stream(on_get_stream);
}

DriverDevice describe(int number) {
    const Cuda &driver = cuda();
    DriverDevice device;
    device.number = number;
    device.info.api = "cuda";
    device.info.is_gpu = true;
    char name[256] = "";
    std::size_t memory = 0;
    int handle = 0, major = 0, minor = 0;
    const Result code = driver.device_get(&handle, number);
    if (code != 0) {
        device.problem = driver.error("cuDeviceGet", code);
        return device;
    }
    driver.device_name(name, sizeof(name), handle);
    driver.device_memory(&memory, handle);
    driver.device_attribute(&major, capability_major, handle);
    driver.device_attribute(&minor, capability_minor, handle);
    device.info.name = name;
    device.info.memory = memory;
    device.version = 10 * major + minor;
    return device;
}

}  // namespace

DriverDevices find_cuda_devices() {
    const Cuda &driver = cuda();
    if (!driver.library.problem().empty()) {
        return {{}, "no CUDA driver: " + driver.library.problem()};
    }
    int count = 0;
    if (const Result code = driver.init(0)) {
        return {{}, driver.error("the CUDA driver fails: cuInit", code)};
    }
    if (const Result code = driver.device_count(&count)) {
        return {{}, driver.error("the CUDA driver fails: cuDeviceGetCount", code)};
    }
    DriverDevices found;
    for (int i = 0; i < count; ++i) {
        found.devices.push_back(describe(i));
    }
    found.reason = count > 0 ? "" : "the CUDA driver has no device";
    return found;
}

std::shared_ptr<CudaContext> CudaContext::open(const DriverDevice &device) {
    static std::mutex mutex;
    // Contexts live to the very end of the process, longer than static objects. The kernels that the driver has
    // assembled stay loaded. Halide 21 can't forget the kernels of a context twice: it unloads them again.
    static auto &contexts = *new std::map<int, std::shared_ptr<CudaContext>>;
    const std::lock_guard lock(mutex);
    std::shared_ptr<CudaContext> &context = contexts[device.number];
    if (!context) {
        context.reset(new CudaContext(device));
    }
    return context;
}

CudaContext::CudaContext(const DriverDevice &device) : DeviceContext(device.info), number_(device.number) {
    static const bool set_up = (set_up_halide(), true);
    (void)set_up;
    if (const Result code = cuda().retain_primary_context(&context, number_)) {
        throw DeviceError(device.info.id + ": " + cuda().error("cuDevicePrimaryCtxRetain", code));
    }
    // Halide's runtime looks for its part of the driver now.
    HalideCall call(this);
    try {
        call.check("the CUDA driver", halide_device_sync_global(&call, interface()));
    } catch (const Error &error) {
        cuda().release_primary_context(number_);
        throw DeviceError(error.what());
    }
}

const halide_device_interface_t *CudaContext::interface() const {
    return halide_cuda_device_interface();
}

void CudaContext::synchronize() const {
    const auto turn = this->turn();
    const Current current(context);
    const Result code = current.code != 0 ? current.code : cuda().synchronize();
    if (code != 0) {
        throw DeviceError(device.id + ": " + cuda().error("cuCtxSynchronize", code));
    }
}

/// Halide's runtime reads this variable for every kernel that it loads, and without it caps the registers of a thread
/// at
/// 64. The tiles of the hand schedules would spill. With 168, none does, and three of their blocks of 128 threads share
/// the 65536 registers of a multiprocessor. Autoscheduled kernels need the cap: they have blocks of up to 1024 threads.
std::unique_lock<std::mutex> CudaContext::loading(bool autoscheduled) const {
    static std::mutex mutex;
    static char registers_64[] = "HL_CUDA_JIT_MAX_REGISTERS=64", registers_168[] = "HL_CUDA_JIT_MAX_REGISTERS=168";
    static const bool set_by_user = std::getenv("HL_CUDA_JIT_MAX_REGISTERS") != nullptr;
    std::unique_lock lock(mutex);
    if (!set_by_user) {
        putenv(autoscheduled ? registers_64 : registers_168);  // which every system has
    }
    return lock;
}

/// Frees the unused memory of the other devices too, since Halide has one list for all. They allocate again.
void CudaContext::release_unused() const {
    if (!is_of_this_process()) {
        return;
    }
    const Current current(context);
    if (current.code == 0) {
        HalideCall call(this);
        halide_cuda_release_unused_device_allocations(&call);
    }
}

void CudaContext::check_memory(const char *tensor, const void *memory) const {
    const auto fail = [&](const std::string &problem) {
        std::ostringstream message;
        message << tensor << ": " << memory << " " << problem << ", the layer is on " << device.id;
        throw DeviceError(message.str());
    };
    const Current current(context);
    const auto address = reinterpret_cast<unsigned long long>(memory);
    unsigned type = 0;
    if (cuda().pointer_attribute(&type, memory_type, address) != 0 || type != memory_of_device) {
        fail("isn't memory of a CUDA device");
    }
    int number = 0;
    if (cuda().pointer_attribute(&number, device_ordinal, address) != 0 || number != number_) {
        fail("is memory of cuda:" + std::to_string(number));
    }
}

void CudaContext::fill(std::uint64_t memory, std::int64_t elements, std::int64_t bytes, std::uint32_t value,
                       Stream stream) const {
    const Current current(context);
    const Result code = current.code != 0 ? current.code
                        : bytes == 1 ? cuda().fill_bytes(memory, static_cast<unsigned char>(value), elements, stream)
                                     : cuda().fill_words(memory, value, elements, stream);
    if (code != 0) {
        throw DeviceError(device.id + ": " + cuda().error("cuMemsetAsync", code));
    }
}

}  // namespace aft
