#include "devices/driver.h"
#include "devices/vulkan_bytes.h"
#include "halide/halide_devices.h"
#include "halide/halide_runtime.h"
#include "system/system.h"

#include <aft/error.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace aft {
namespace {

using Result = std::int32_t;  // VkResult: 0 is success

// Vulkan's structures, up to the last member that is read here.
struct ApplicationInfo {
    std::uint32_t type = 0;
    const void *next = nullptr;
    const char *name = "aft";
    std::uint32_t version = 0;
    const char *engine = nullptr;
    std::uint32_t engine_version = 0;
    std::uint32_t api_version = 1u << 22;  // 1.0, as Halide's runtime
};
struct InstanceInfo {
    std::uint32_t type = 1;
    const void *next = nullptr;
    std::uint32_t flags = 0;
    const ApplicationInfo *application = nullptr;
    std::uint32_t layer_count = 0;
    const char *const *layers = nullptr;
    std::uint32_t extension_count = 0;
    const char *const *extensions = nullptr;
};
enum DeviceType : std::uint32_t { other, integrated_gpu, discrete_gpu, virtual_gpu, cpu };
struct DeviceProperties {
    std::uint32_t api_version, driver_version, vendor, device;
    DeviceType type;
    char name[256];
    std::uint8_t cache_id[16];
    alignas(8) std::uint32_t limits[256];  // and more: 824 bytes in all
};
constexpr int max_storage_buffer_range = 7;  // of the limits
struct MemoryProperties {
    std::uint32_t type_count;
    std::uint32_t types[32][2];
    std::uint32_t heap_count;
    struct {
        std::uint64_t size;
        std::uint32_t flags;
    } heaps[16];
};
struct QueueFamily {
    std::uint32_t flags, count, timestamp_bits, granularity[3];
};
struct Extension {
    char name[256];
    std::uint32_t version;
};
constexpr std::uint32_t queue_compute = 2, heap_of_device = 1;

/// The extensions without which Halide's runtime ends the process.
constexpr const char *instance_extension = "VK_KHR_get_physical_device_properties2";
constexpr const char *device_extensions[] = {"VK_KHR_8bit_storage", "VK_KHR_storage_buffer_storage_class"};
/// Halide's runtime enables it where it is.
constexpr const char *byte_extensions[] = {"VK_KHR_shader_float16_int8"};
constexpr std::uint32_t most_devices = 16;  // that Halide's runtime looks at

constexpr std::size_t allocation_multiple = 256;  // the most that drivers align buffers to

/// The largest buffer. Kernels would read and write outside a larger one.
std::atomic<std::size_t> max_buffer_bytes{0};

/// That has a device open. Children of it have none.
std::atomic<std::int64_t> process_of_device{0};

struct Vulkan {
    DriverLibrary library{"libvulkan.so.1"};
    Result (*create_instance)(const InstanceInfo *, const void *, void **);
    void (*destroy_instance)(void *, const void *);
    Result (*devices)(void *, std::uint32_t *, void **);
    void (*properties)(void *, DeviceProperties *);
    void (*memory)(void *, MemoryProperties *);
    void (*queue_families)(void *, std::uint32_t *, QueueFamily *);
    Result (*extensions)(void *, const char *, std::uint32_t *, Extension *);

    Vulkan() {
        library.find("vkCreateInstance", create_instance);
        library.find("vkDestroyInstance", destroy_instance);
        library.find("vkEnumeratePhysicalDevices", devices);
        library.find("vkGetPhysicalDeviceProperties", properties);
        library.find("vkGetPhysicalDeviceMemoryProperties", memory);
        library.find("vkGetPhysicalDeviceQueueFamilyProperties", queue_families);
        library.find("vkEnumerateDeviceExtensionProperties", extensions);
    }
};

Vulkan &vulkan() {
    static Vulkan driver;
    return driver;
}

/// Whether Halide's runtime takes a device for this wish. It searches the wish for these words, in this order.
bool matches(std::string_view wish, DeviceType type) {
    const auto asks = [&](const char *word) { return wish.find(word) != std::string_view::npos; };
    return (asks("cpu") && type == cpu) || (asks("integrated-gpu") && type == integrated_gpu) ||
           (asks("discrete-gpu") && type == discrete_gpu) || (asks("virtual-gpu") && type == virtual_gpu) ||
           (asks("gpu") && (type == integrated_gpu || type == discrete_gpu));
}

bool computes(void *device) {
    std::uint32_t count = 0;
    vulkan().queue_families(device, &count, nullptr);
    std::vector<QueueFamily> families(count);
    vulkan().queue_families(device, &count, families.data());
    return std::any_of(families.begin(), families.end(),
                       [](const QueueFamily &family) { return family.count > 0 && (family.flags & queue_compute); });
}

/// Why the device lacks one of the extensions; empty when it has all.
template<typename Names>
std::string missing_extension(void *device, const Names &names) {
    std::uint32_t count = 0;
    std::vector<Extension> extensions;
    if (vulkan().extensions(device, nullptr, &count, nullptr) == 0) {
        extensions.resize(count);
        vulkan().extensions(device, nullptr, &count, extensions.data());
    }
    for (const char *needed : names) {
        if (std::none_of(extensions.begin(), extensions.end(),
                         [&](const Extension &extension) { return std::strcmp(extension.name, needed) == 0; })) {
            return std::string("its driver lacks ") + needed;
        }
    }
    return "";
}

DriverDevice describe(void *instance, void *device, const DeviceProperties &properties) {
    DriverDevice result;
    result.info.api = "vulkan";
    result.info.name = properties.name;
    result.info.is_gpu = properties.type != cpu && properties.type != other;
    result.problem = missing_extension(device, device_extensions);
    result.byte_problem = missing_extension(device, byte_extensions);
    if (result.byte_problem.empty()) {
        result.byte_problem = missing_byte_feature(instance, device);
    }
    result.version =
        static_cast<int>(10 * (properties.api_version >> 22 & 0x7F) + (properties.api_version >> 12 & 0x3FF));
    MemoryProperties memory{};
    vulkan().memory(device, &memory);
    for (std::uint32_t i = 0; i < memory.heap_count; ++i) {
        if (memory.heaps[i].flags & heap_of_device) {
            result.info.memory = std::max(result.info.memory, memory.heaps[i].size);
        }
    }
    return result;
}

/// The device that Halide's runtime will use. It has one per process: the first in the driver's order that matches the
/// wish set here.
DriverDevices chosen_of(void *instance, const std::vector<void *> &devices) {
    const char *wanted = std::getenv("HL_VK_DEVICE_TYPE");
    const bool forced = wanted && *wanted;
    const std::vector<const char *> wishes =
        forced ? std::vector<const char *>{wanted} : std::vector<const char *>{"gpu", "virtual-gpu", "cpu"};
    for (const char *wish : wishes) {
        for (void *device : devices) {
            DeviceProperties properties{};
            vulkan().properties(device, &properties);
            if (matches(wish, properties.type) && computes(device)) {
                halide_vulkan_set_device_type(wish);
                max_buffer_bytes = properties.limits[max_storage_buffer_range];
                return {{describe(instance, device, properties)}, ""};
            }
        }
    }
    return {{},
            forced ? "no Vulkan device is of HL_VK_DEVICE_TYPE " + std::string(wanted)
                   : "no Vulkan device has a queue for computing"};
}

class VulkanContext : public DeviceContext {
public:
    using DeviceContext::DeviceContext;

    const halide_device_interface_t *interface() const override {
        return halide_vulkan_device_interface();
    }
};

}  // namespace

DriverDevices find_vulkan_devices() {
    const Vulkan &driver = vulkan();
    if (!driver.library.problem().empty()) {
        return {{}, "no Vulkan loader: " + driver.library.problem()};
    }
    const ApplicationInfo application;
    InstanceInfo info;
    info.application = &application;
    info.extension_count = 1;
    info.extensions = &instance_extension;
    void *instance = nullptr;
    if (const Result code = driver.create_instance(&info, nullptr, &instance)) {
        return {{}, "no Vulkan driver: vkCreateInstance: error " + std::to_string(code)};
    }
    std::uint32_t count = most_devices;
    std::vector<void *> devices(count);
    const Result code = driver.devices(instance, &count, devices.data());
    devices.resize(code >= 0 ? count : 0);
    DriverDevices found = {{}, "the Vulkan drivers have no device"};
    if (!devices.empty()) {
        found = chosen_of(instance, devices);
    }
    driver.destroy_instance(instance, nullptr);
    return found;
}

std::shared_ptr<DeviceContext> open_vulkan_device(const DriverDevice &device) {
    static const std::shared_ptr<DeviceContext> context = [&] {
        if (device.byte_problem.empty()) {
            enable_byte_features();
        }
        halide_vulkan_set_alloc_config(("0:32:0:0:" + std::to_string(allocation_multiple)).c_str());
        auto result = std::make_shared<VulkanContext>(device.info);
        process_of_device = process_id();
        // Halide's allocator reports all later errors to the call that made it.
        static auto *const call = new HalideCall;
        const int code = halide_device_sync_global(call, result->interface());
        if (code != halide_error_code_success) {
            throw DeviceError(device.info.id + ": no context, Halide error " + std::to_string(code));
        }
        return result;
    }();
    return context;
}

namespace {

/// Halide's allocator rounds sizes in one way when it looks for memory, and in another when it splits the block that it
/// found (halide/Halide#8868). Unless the size is a multiple of every driver's alignment, buffers get too small or
/// overlap, and results are wrong without an error.
int allocate(void *user_context, halide_buffer_t *buffer) {
    const std::size_t bytes = buffer->size_in_bytes();
    if (bytes > max_buffer_bytes) {
        const std::string message = "Vulkan: a buffer of " + std::to_string(bytes) + " bytes, the driver's limit is " +
                                    std::to_string(max_buffer_bytes);
        halide_error(user_context, message.c_str());
        return halide_error_code_device_malloc_failed;
    }
    const std::size_t multiples = (bytes + allocation_multiple - 1) / allocation_multiple;
    const std::size_t elements = multiples * allocation_multiple / buffer->type.bytes();
    halide_dimension_t dimension(0, static_cast<std::int32_t>(elements), 1);
    halide_buffer_t padded = *buffer;
    padded.dimensions = 1;
    padded.dim = &dimension;
    const int code = halide_vulkan_device_malloc(user_context, &padded);
    buffer->device = padded.device;
    buffer->device_interface = padded.device_interface;
    return code;
}

}  // namespace
}  // namespace aft

// Halide's runtime has this as a weak symbol. It allocates all buffers, also those within a kernel.
extern "C" int halide_device_malloc(void *user_context, halide_buffer_t *buffer,
                                    const halide_device_interface_t *interface) {
    const auto is_of = [&](const halide_device_interface_t *(*api)()) { return api && interface == api(); };
    const int code = is_of(halide_vulkan_device_interface)   ? aft::allocate(user_context, buffer)
                     : is_of(halide_opencl_device_interface) ? halide_opencl_device_malloc(user_context, buffer)
                                                             : halide_cuda_device_malloc(user_context, buffer);
    return code == halide_error_code_success ? code : halide_error_code_device_malloc_failed;
}

// Halide's runtime has this as a weak symbol, which it calls when the process ends or its code is unloaded. In a child
// of fork(), the driver would wait for threads that only the parent has.
extern "C" void halide_vulkan_cleanup() {
    if (aft::process_of_device == aft::process_id()) {
        halide_device_release(nullptr, halide_vulkan_device_interface());
    }
}
