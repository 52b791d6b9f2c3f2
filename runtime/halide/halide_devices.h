#pragma once

#include "halide/halide.h"

#include <HalideRuntimeCuda.h>
#include <HalideRuntimeOpenCL.h>
#include <HalideRuntimeVulkan.h>

// Exported by Halide's runtime, but in no header.
extern "C" int halide_cuda_device_malloc(void *user_context, halide_buffer_t *buffer);
extern "C" int halide_opencl_device_malloc(void *user_context, halide_buffer_t *buffer);
extern "C" int halide_vulkan_device_malloc(void *user_context, halide_buffer_t *buffer);
extern "C" void halide_vulkan_set_alloc_config(const char *config);

// A build has the parts of Halide's runtime that its kernels need. The functions of other parts are null and never
// called: the library finds no devices of an API that it has no kernels for.
extern "C" {
__attribute__((weak)) extern decltype(halide_cuda_detach_device_ptr) halide_cuda_detach_device_ptr;
__attribute__((weak)) extern decltype(halide_cuda_device_interface) halide_cuda_device_interface;
__attribute__((weak)) extern decltype(halide_cuda_device_malloc) halide_cuda_device_malloc;
__attribute__((
    weak)) extern decltype(halide_cuda_release_unused_device_allocations) halide_cuda_release_unused_device_allocations;
__attribute__((weak)) extern decltype(halide_cuda_wrap_device_ptr) halide_cuda_wrap_device_ptr;
__attribute__((weak)) extern decltype(halide_default_get_library_symbol) halide_default_get_library_symbol;
__attribute__((weak)) extern decltype(halide_opencl_device_interface) halide_opencl_device_interface;
__attribute__((weak)) extern decltype(halide_opencl_device_malloc) halide_opencl_device_malloc;
__attribute__((weak)) extern decltype(halide_set_cuda_acquire_context) halide_set_cuda_acquire_context;
__attribute__((weak)) extern decltype(halide_set_cuda_get_stream) halide_set_cuda_get_stream;
__attribute__((weak)) extern decltype(halide_set_cuda_release_context) halide_set_cuda_release_context;
__attribute__((weak)) extern decltype(halide_set_custom_get_library_symbol) halide_set_custom_get_library_symbol;
__attribute__((weak)) extern decltype(halide_vulkan_device_interface) halide_vulkan_device_interface;
__attribute__((weak)) extern decltype(halide_vulkan_device_malloc) halide_vulkan_device_malloc;
__attribute__((weak)) extern decltype(halide_vulkan_set_alloc_config) halide_vulkan_set_alloc_config;
__attribute__((weak)) extern decltype(halide_vulkan_set_device_type) halide_vulkan_set_device_type;
}
