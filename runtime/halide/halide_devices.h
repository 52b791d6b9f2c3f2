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
#pragma weak aft_halide_cuda_detach_device_ptr
#pragma weak aft_halide_cuda_device_interface
#pragma weak aft_halide_cuda_device_malloc
#pragma weak aft_halide_cuda_release_unused_device_allocations
#pragma weak aft_halide_cuda_wrap_device_ptr
#pragma weak aft_halide_default_get_library_symbol
#pragma weak aft_halide_opencl_device_interface
#pragma weak aft_halide_opencl_device_malloc
#pragma weak aft_halide_set_cuda_acquire_context
#pragma weak aft_halide_set_cuda_get_stream
#pragma weak aft_halide_set_cuda_release_context
#pragma weak aft_halide_set_custom_get_library_symbol
#pragma weak aft_halide_vulkan_device_interface
#pragma weak aft_halide_vulkan_device_malloc
#pragma weak aft_halide_vulkan_set_alloc_config
#pragma weak aft_halide_vulkan_set_device_type
