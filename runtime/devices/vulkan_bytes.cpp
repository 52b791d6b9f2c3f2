#include "devices/vulkan_bytes.h"

#include "devices/driver.h"
#include "halide/halide_devices.h"

#include <cstdint>
#include <cstring>

namespace aft {
namespace {

// Vulkan's structures. A chain of them begins with a type and a pointer to the next one each.
struct ChainLink {
    std::uint32_t type;
    const void *next;
};
struct ByteStorage {  // VkPhysicalDevice8BitStorageFeatures
    std::uint32_t type = type_of_byte_storage;
    const void *next = nullptr;
    std::uint32_t storage_buffer = 0, uniform_and_storage_buffer = 0, push_constant = 0;

    static constexpr std::uint32_t type_of_byte_storage = 1000177000;
};
struct ByteArithmetic {  // VkPhysicalDeviceShaderFloat16Int8Features
    std::uint32_t type = 1000082000;
    void *next = nullptr;
    std::uint32_t float16 = 0, int8 = 0;
};
struct CoreFeatures {  // VkPhysicalDeviceFeatures2
    std::uint32_t type = 1000059000;
    void *next = nullptr;
    std::uint32_t core[55] = {};
};
struct DeviceCreation {  // VkDeviceCreateInfo, up to the member that is changed here
    std::uint32_t type;
    const void *next;
};
constexpr std::uint32_t type_of_vulkan_12_features = 51;  // which has those of bytes

using VulkanFunction = void (*)();
using FindVulkanFunction = VulkanFunction (*)(void *instance, const char *name);
using CreateVulkanDevice = std::int32_t (*)(void *physical_device, const void *info, const void *allocator,
                                            void **device);

/// The loader's functions that Halide's runtime gets through those below.
FindVulkanFunction find_function = nullptr;
CreateVulkanDevice create_device = nullptr;

bool has_byte_storage(const void *chain) {
    for (const auto *link = static_cast<const ChainLink *>(chain); link;
         link = static_cast<const ChainLink *>(link->next)) {
        if (link->type == ByteStorage::type_of_byte_storage || link->type == type_of_vulkan_12_features) {
            return true;
        }
    }
    return false;
}

std::int32_t on_create_device(void *physical_device, const void *info, const void *allocator, void **device) {
    auto &next = const_cast<DeviceCreation *>(static_cast<const DeviceCreation *>(info))->next;
    if (has_byte_storage(next)) {
        return create_device(physical_device, info, allocator, device);
    }
    ByteStorage storage;
    storage.storage_buffer = 1;
    storage.next = next;
    next = &storage;
    const std::int32_t code = create_device(physical_device, info, allocator, device);
    next = storage.next;
    return code;
}

VulkanFunction on_find_function(void *instance, const char *name) {
    const VulkanFunction found = find_function(instance, name);
    if (found && std::strcmp(name, "vkCreateDevice") == 0) {
        create_device = reinterpret_cast<CreateVulkanDevice>(found);
        return reinterpret_cast<VulkanFunction>(on_create_device);
    }
    return found;
}

void *on_library_symbol(void *library, const char *name) {
    void *found = halide_default_get_library_symbol(library, name);
    if (found && std::strcmp(name, "vkGetInstanceProcAddr") == 0) {
        find_function = reinterpret_cast<FindVulkanFunction>(found);
        return reinterpret_cast<void *>(on_find_function);
    }
    return found;
}

}  // namespace

std::string missing_byte_feature(void *instance, void *device) {
    static DriverLibrary library("libvulkan.so.1");
    FindVulkanFunction find = nullptr;
    library.find("vkGetInstanceProcAddr", find);
    const auto get_features = reinterpret_cast<void (*)(void *, CoreFeatures *)>(
        find ? find(instance, "vkGetPhysicalDeviceFeatures2KHR") : nullptr);
    ByteStorage storage;
    ByteArithmetic arithmetic;
    CoreFeatures features;
    arithmetic.next = &storage;
    features.next = &arithmetic;
    if (get_features) {
        get_features(device, &features);
    }
    return !arithmetic.int8          ? "its driver lacks the feature shaderInt8"
           : !storage.storage_buffer ? "its driver lacks the feature storageBuffer8BitAccess"
                                     : "";
}

void enable_byte_features() {
    halide_set_custom_get_library_symbol(on_library_symbol);
}

}  // namespace aft
