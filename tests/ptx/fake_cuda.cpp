// A CUDA driver without a device: memory is the host's, contexts are numbers and kernels are interpreted. It is built
// as libcuda.so.1 in a folder of its own, and stands for the driver where that folder is in LD_LIBRARY_PATH.
#include "fake_cuda.h"

#include "ptx.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <vector>

namespace {

using Result = int;
constexpr Result success = 0, invalid_value = 1, out_of_memory = 2, invalid_context = 201, invalid_device = 101,
                 invalid_ptx = 218, not_found = 500, illegal_address = 700;
using Pointer = unsigned long long;

int setting(const char *name, int otherwise) {
    const char *value = std::getenv(name);
    return value ? std::atoi(value) : otherwise;
}

struct Allocation {
    std::size_t bytes;
    int device;
};

std::mutex mutex;
std::map<Pointer, Allocation> memory;
char contexts[16];  // the primary contexts' addresses
thread_local std::vector<void *> current;

int device_count() {
    return setting("FAKE_CUDA_DEVICES", 2);
}

int device_of(const void *context) {
    return static_cast<int>(static_cast<const char *>(context) - contexts);
}

bool has_context() {
    fake_cuda().without_context += current.empty();
    return !current.empty();
}

void *allocate(int device, std::size_t bytes) {
    void *block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(block, 0xff, bytes);  // NaN
    const std::lock_guard lock(mutex);
    memory[reinterpret_cast<Pointer>(block)] = {bytes, device};
    ++fake_cuda().live;
    return block;
}

void release(void *block) {
    const std::lock_guard lock(mutex);
    fake_cuda().live -= static_cast<int>(memory.erase(reinterpret_cast<Pointer>(block)));
    std::free(block);
}

/// The allocation that an address lies in.
const Allocation *allocation_at(Pointer address) {
    const auto after = memory.upper_bound(address);
    if (after == memory.begin()) {
        return nullptr;
    }
    const auto &[begin, allocation] = *std::prev(after);
    return address < begin + allocation.bytes ? &allocation : nullptr;
}

/// Whether a kernel on a device may access them.
bool is_accessible(int device, Pointer address, std::size_t bytes) {
    const std::lock_guard lock(mutex);
    const Allocation *found = allocation_at(address);
    return found && found == allocation_at(address + bytes - 1) && found->device == device;
}

/// A copy whose device side isn't wholly in an allocation fails.
Result copy(void *to, const void *from, std::size_t bytes, const void *on_device) {
    const auto address = reinterpret_cast<Pointer>(on_device);
    const std::lock_guard lock(mutex);
    if (!has_context()) {
        return invalid_context;
    }
    if (!allocation_at(address) || allocation_at(address) != allocation_at(address + bytes - 1)) {
        return invalid_value;
    }
    std::memcpy(to, from, bytes);
    return success;
}

template<typename Fill>
Result fill(Pointer to, std::size_t bytes, std::size_t alignment, void *stream, Fill fill_memory) {
    if (!has_context()) {
        return invalid_context;
    }
    if (bytes == 0 || to % alignment != 0 || !is_accessible(device_of(current.back()), to, bytes)) {
        return invalid_value;
    }
    ++fake_cuda().fills;
    fake_cuda().stream = stream;
    fill_memory(reinterpret_cast<void *>(to));
    return success;
}

}  // namespace

extern "C" {

aft::FakeCuda &fake_cuda() {
    static aft::FakeCuda &fake = [&]() -> aft::FakeCuda & {
        auto &result = *new aft::FakeCuda;
        result.allocate = allocate;
        result.release = release;
        result.allocations_left = setting("FAKE_CUDA_ALLOCATIONS", INT32_MAX);
        return result;
    }();
    return fake;
}

Result cuInit(unsigned) {
    return setting("FAKE_CUDA_INIT", success);
}
Result cuGetErrorName(Result code, const char **name) {
    static const std::map<Result, const char *> names = {{out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                         {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                                                         {999, "CUDA_ERROR_UNKNOWN"}};
    const auto found = names.find(code);
    *name = found == names.end() ? nullptr : found->second;
    return found == names.end() ? invalid_value : success;
}

Result cuDeviceGetCount(int *count) {
    *count = device_count();
    return success;
}
Result cuDeviceGet(int *device, int number) {
    *device = number;
    return number < device_count() ? success : invalid_device;
}
Result cuDeviceGetAttribute(int *value, int attribute, int) {
    const int capability = setting("FAKE_CUDA_CAPABILITY", 90);
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 1;
    return success;
}
Result cuDriverGetVersion(int *version) {
    *version = 12000;
    return success;
}
Result cuDeviceGetName(char *name, int length, int device) {
    std::snprintf(name, length, "fake %d", device);
    return success;
}
Result cuDeviceTotalMem_v2(std::size_t *bytes, int) {
    *bytes = std::size_t{1} << 30;
    return success;
}

Result cuDevicePrimaryCtxRetain(void **context, int device) {
    if (fake_cuda().retain_result != success) {
        return fake_cuda().retain_result;
    }
    ++fake_cuda().retained;
    *context = contexts + device;
    return success;
}
Result cuDevicePrimaryCtxRelease(int) {
    --fake_cuda().retained;
    return success;
}
Result cuDevicePrimaryCtxRelease_v2(int device) {
    return cuDevicePrimaryCtxRelease(device);
}
Result cuCtxCreate_v2(void **context, unsigned, int device) {
    ++fake_cuda().private_contexts;
    *context = contexts + device;
    return success;
}
Result cuCtxDestroy_v2(void *) {
    return success;
}
Result cuCtxGetApiVersion(void *, unsigned *version) {
    *version = 12000;
    return success;
}
Result cuCtxGetDevice(int *device) {
    *device = current.empty() ? 0 : device_of(current.back());
    return success;
}
Result cuCtxPushCurrent_v2(void *context) {
    current.push_back(context);
    return success;
}
Result cuCtxSetCurrent(void *context) {
    if (!current.empty()) {
        current.pop_back();
    }
    if (context) {
        current.push_back(context);
    }
    return success;
}
Result cuCtxPopCurrent_v2(void **context) {
    if (current.empty()) {
        return invalid_context;
    }
    *context = current.back();
    current.pop_back();
    return success;
}
Result cuCtxSynchronize() {
    return has_context() ? fake_cuda().synchronize_result.load() : invalid_context;
}
Result cuStreamSynchronize(void *) {
    return cuCtxSynchronize();
}
Result cuProfilerStop() {
    return success;
}

Result cuModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values) {
    if (!has_context()) {
        return invalid_context;
    }
    try {
        *module = new aft::ptx::Module(static_cast<const char *>(image));
    } catch (const std::exception &error) {
        std::fprintf(stderr, "fake CUDA: %s\n", error.what());
        return invalid_ptx;
    }
    ++fake_cuda().modules;
    for (unsigned i = 0; i < count; ++i) {
        if (options[i] == 0) {
            fake_cuda().max_registers = static_cast<int>(reinterpret_cast<std::intptr_t>(values[i]));
        }
    }
    return success;
}
Result cuModuleLoadData(void **module, const void *image) {
    return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}
Result cuModuleUnload(void *module) {
    delete static_cast<aft::ptx::Module *>(module);
    --fake_cuda().modules;
    return success;
}
Result cuModuleGetFunction(const aft::ptx::Kernel **function, const aft::ptx::Module *module, const char *name) {
    *function = module->find(name);
    return *function ? success : not_found;
}
Result cuMemAlloc_v2(Pointer *address, std::size_t bytes) {
    if (!has_context()) {
        return invalid_context;
    }
    if (fake_cuda().allocations_left-- <= 0) {
        return out_of_memory;
    }
    ++fake_cuda().allocations;
    *address = reinterpret_cast<Pointer>(allocate(device_of(current.back()), bytes));
    return success;
}
Result cuMemFree_v2(Pointer address) {
    release(reinterpret_cast<void *>(address));
    return has_context() ? success : invalid_context;
}
Result cuMemcpyHtoD_v2(Pointer to, const void *from, std::size_t bytes) {
    ++fake_cuda().copies_in;
    return copy(reinterpret_cast<void *>(to), from, bytes, reinterpret_cast<void *>(to));
}
Result cuMemcpyDtoH_v2(void *to, Pointer from, std::size_t bytes) {
    ++fake_cuda().copies_out;
    return copy(to, reinterpret_cast<const void *>(from), bytes, reinterpret_cast<const void *>(from));
}
Result cuMemcpyHtoDAsync_v2(Pointer to, const void *from, std::size_t bytes, void *) {
    return cuMemcpyHtoD_v2(to, from, bytes);
}
Result cuMemcpyDtoHAsync_v2(void *to, Pointer from, std::size_t bytes, void *) {
    return cuMemcpyDtoH_v2(to, from, bytes);
}
Result cuMemsetD8Async(Pointer to, unsigned char value, std::size_t count, void *stream) {
    return fill(to, count, 1, stream, [&](void *memory) { std::memset(memory, value, count); });
}
Result cuMemsetD32Async(Pointer to, unsigned value, std::size_t count, void *stream) {
    return fill(to, 4 * count, 4, stream,
                [&](void *memory) { std::fill_n(static_cast<unsigned *>(memory), count, value); });
}
// Halide's runtime asks for these too, but nothing needs them.
Result cuMemcpyDtoD_v2(Pointer, Pointer, std::size_t) {
    return invalid_value;
}
Result cuMemcpyDtoDAsync_v2(Pointer, Pointer, std::size_t, void *) {
    return invalid_value;
}
Result cuMemcpy3D_v2(const void *) {
    return invalid_value;
}
Result cuPointerGetAttribute(void *value, int attribute, Pointer address) {
    const std::lock_guard lock(mutex);
    const Allocation *found = allocation_at(address);
    if (!found || (attribute != 2 && attribute != 9)) {
        return invalid_value;
    }
    *static_cast<int *>(value) = attribute == 2 ? 2 : found->device;
    return success;
}

Result cuLaunchKernel(const aft::ptx::Kernel *kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream,
                      void **params, void **) {
    if (!has_context()) {
        return invalid_context;
    }
    const int device = device_of(current.back());
    ++fake_cuda().launches;
    fake_cuda().stream = stream;
    fake_cuda().device = device;
    if (fake_cuda().launch_result != success) {
        return fake_cuda().launch_result;
    }
    try {
        aft::ptx::launch(*kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, params,
                         [device](Pointer address, std::size_t bytes) {
                             return is_accessible(device, address, bytes);
                         });
    } catch (const std::exception &error) {
        std::fprintf(stderr, "fake CUDA: %s\n", error.what());
        return illegal_address;
    }
    return success;
}

}  // extern "C"
