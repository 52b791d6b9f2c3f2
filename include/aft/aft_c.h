#pragma once

/// @file
/// The library for C, and for languages that call C. It has the layers, weights, kernels and devices of <aft/aft.h>,
/// with the same bits. examples/forward.c is a whole program.
///
/// Errors. A function that can fail returns an aft_status. It writes its results, which are its last arguments, only if
/// that is AFT_OK. aft_last_error() has the message. No exception leaves the library, and it never prints or aborts.
///
/// Ownership. aft_..._create, _load and _copy make an object that the caller destroys. The library owns everything else
/// that it returns: infos and their strings live until the process ends. After a call has returned, the library keeps
/// none of the call's pointers (aft_layer_forward_cuda(): after the stream has done the work).
///
/// Threads. Any number of threads may call functions at a time, also on the same objects. While an object is being
/// destroyed, nothing else may use it.
///
/// ABI. A program runs with the version of the library that it was compiled with, and with every later one of the same
/// major version (before 1.0: of the same minor version). Functions and the values of constants stay. Structs get new
/// members at their end only. A struct that the caller makes begins with struct_size: set it to sizeof of the type, and
/// set unused members to 0. A library that is older than the program refuses members that it doesn't know unless they
/// are 0. Infos may be longer than their types: use them by pointer, don't copy them.
#include <aft/export.h>
#include <aft/version.h>

#include <stdint.h>

// NOLINTBEGIN(modernize-use-using,readability-identifier-naming): C
#ifdef __cplusplus
extern "C" {
#endif

/// The outcome of a call: AFT_OK or an AFT_ERROR_...
typedef int32_t aft_status;
/// Values of aft_status.
enum {
    AFT_OK = 0,               ///< success
    AFT_ERROR_ARGUMENT = 1,   ///< a null pointer, an index out of range, a struct that this version doesn't know
    AFT_ERROR_SHAPE = 2,      ///< an extent, a stride or an overlap that the call doesn't accept; nothing was written
    AFT_ERROR_CONFIG = 3,     ///< a config or options that make no sense, or a kernel that can't serve the layer
    AFT_ERROR_WEIGHTS = 4,    ///< weights that don't fit the config, or a file that doesn't hold them
    AFT_ERROR_DEVICE = 5,     ///< a device that isn't there, can't be used, or failed
    AFT_ERROR_KERNEL = 6,     ///< a kernel failed, or had no memory for its scratch; the output is undefined
    AFT_ERROR_NO_MEMORY = 7,  ///< the host is out of memory
    AFT_ERROR_INTERNAL = 8    ///< anything else: a bug in the library
};

/// The message of the last call that failed in this thread: one line that names the value and the limit. "" if none has
/// failed. Successful calls leave it as it is; the next failure overwrites it. The pointer is valid as long as the
/// thread lives. The thread has 4096 bytes for the message, so that it isn't lost when memory runs out. Longer messages
/// are cut off.
AFT_API const char *aft_last_error(void);

/// The version of the library. It differs from AFT_VERSION, the version of this header, if the program was compiled
/// with another version.
AFT_API const char *aft_version(void);

// Layers' configs

/// The form of a layer: AFT_LAYER_... The names and formulas are those of aft::named_forms.
typedef int32_t aft_layer_kind;
/// Values of aft_layer_kind.
enum {
    AFT_LAYER_FULL = 0,    ///< AFTFull: a position bias between any two positions
    AFT_LAYER_SIMPLE = 1,  ///< AFTSimple: no position bias
    AFT_LAYER_LOCAL = 2    ///< AFTLocal: a position bias within a window, 0 outside
};

/// The form and the sizes of a layer. Its weights are not part of it.
typedef struct aft_config {
    uint64_t struct_size;  ///< sizeof(aft_config)
    aft_layer_kind kind;   ///< the form
    int64_t hidden;        ///< H, channels of input and output, >= 1
    int64_t projected;     ///< P, channels of query, key and value, >= 1
    int64_t max_seq_len;   ///< S, the longest sequence, >= 1; a position bias is [S, S]
    int64_t window;        ///< s, AFTLocal only: the bias holds where |t - t'| < s and is 0 elsewhere; >= 0
} aft_config;

// Kernels and devices

/// A range of extents, both ends included.
typedef struct aft_range {
    int64_t from;  ///< the least
    int64_t to;    ///< the most
} aft_range;

/// One kernel of this build: an operation of one form of layer, by one algorithm, scheduled one way for one target.
typedef struct aft_kernel_info {
    const char *id;        ///< e.g. aft_full_cpu_packed; `aft_full_cpu_packed@avx2` where the build has several targets
    aft_layer_kind layer;  ///< the form that it computes; -1: it serves every form
    int32_t usable;        ///< 1 if this machine has a device that can run it
    const char *reason;    ///< why it isn't usable; "" if it is
    const char *device;    ///< the API of its devices: cpu, cuda, opencl or vulkan
    const char *schedule;  ///< packed, naive, tiled, adams2019, ...
    const char *target;    ///< the Halide target that it was compiled for
    const char *storage;   ///< float32 or bfloat16; a bfloat16 kernel runs only if the caller names it
    double max_bias_range;          ///< largest range (maximum - minimum) of a row of position bias; may be INFINITY
    int64_t minimum_batch;          ///< smallest B
    int64_t minimum_seq;            ///< smallest T
    int64_t minimum_hidden;         ///< smallest H
    int64_t minimum_projected;      ///< smallest P
    int64_t minimum_window;         ///< smallest s
    aft_range preferred_seq;        ///< the T that it is made for; for others, it runs only if the caller names it
    aft_range preferred_hidden;     ///< the H that it is made for
    aft_range preferred_projected;  ///< the P that it is made for
    aft_range preferred_window;     ///< the s that it is made for
    const char *operation;          ///< the operation that it computes: forward
    const char *algorithm;          ///< dense, banded, softmax or exact: how it computes the mean of the values
} aft_kernel_info;

/// A device of this machine that this build has kernels for. Without such a device, the reason.
typedef struct aft_device_info {
    const char *id;      ///< cpu, or `<api>:<number>`: cuda:0, opencl:1
    const char *api;     ///< cpu, cuda, opencl or vulkan: aft_kernel_info.device of its kernels
    const char *name;    ///< its name in its driver; "" if no device was found
    uint64_t memory;     ///< bytes; 0 if unknown
    int32_t is_gpu;      ///< 0 for the CPU, and for drivers that run OpenCL or Vulkan on the CPU
    int32_t usable;      ///< 1 if some kernel of this build can run on it
    const char *reason;  ///< why it isn't usable; "" if it is
} aft_device_info;

/// The number of kernels in this build.
AFT_API aft_status aft_kernel_count(int64_t *count);
/// A kernel of this build, index 0 to count - 1, in order of preference within a form and a device.
AFT_API aft_status aft_kernel_at(int64_t index, const aft_kernel_info **kernel);

/// The number of devices. The first call finds the devices; later calls return the same list.
AFT_API aft_status aft_device_count(int64_t *count);
/// A device, index 0 to count - 1, in the order of automatic choice. An API without a device has one entry at the end,
/// with the reason.
AFT_API aft_status aft_device_at(int64_t index, const aft_device_info **device);

/// Sets the number of threads that kernels run on in this process, 1 to 256. The caller's thread counts. The default is
/// the number of processors that the process may run on, or its control groups' quota of CPU time if that is smaller.
/// AFT_ERROR_CONFIG out of range. Must not be called while a layer runs.
AFT_API aft_status aft_set_thread_count(int32_t threads);
/// The number of threads that kernels run on. Must not be called while aft_set_thread_count() runs.
AFT_API aft_status aft_thread_count(int32_t *threads);

// Weights

/// The parameters of a layer.
typedef struct aft_weights aft_weights;

/// Parameters in the caller's memory: float32, row-major, without gaps, with the shapes of aft-pytorch's state_dict
/// (y = x W^T + b). A null bias of a projection means 0.
typedef struct aft_parameters {
    uint64_t struct_size;         ///< sizeof(aft_parameters)
    const float *query_weight;    ///< to_q: [P, H]
    const float *query_bias;      ///< to_q: [P]
    const float *key_weight;      ///< to_k: [P, H]
    const float *key_bias;        ///< to_k: [P]
    const float *value_weight;    ///< to_v: [P, H]
    const float *value_bias;      ///< to_v: [P]
    const float *project_weight;  ///< project: [H, P]
    const float *project_bias;    ///< project: [H]
    const float *position_bias;   ///< wbias: [S, S], target by source; not AFTSimple; -inf masks a pair
} aft_parameters;

/// Selects one layer of a file. Without options, the file must have exactly one layer, with the names of one network.
typedef struct aft_load_options {
    uint64_t struct_size;  ///< sizeof(aft_load_options)
    /// The start of the layer's tensor names: "attn_proj.layers.0.attn.". "" selects the layer whose names have no
    /// prefix. If it is null, the layer is searched for.
    const char *prefix;
    /// "aft-pytorch", "labml-nn", "featurebooster", "liftfeat" or "external-attention"; docs/weights.md lists their
    /// names. If it is null or "", the names in the file decide, or with `names`, it is "aft-pytorch".
    const char *naming;
    /// Names in the file that replace those of the naming: "query=w_q" and so on, up to a null pointer, each parameter
    /// at most once. The parameters are those of aft::LoadOptions::names in <aft/weights.h>. "project=" means that the
    /// file has no such tensor. Null means no names.
    const char *const *names;
} aft_load_options;

/// Copies parameters, which must have the shapes that `config` implies. AFT_ERROR_CONFIG if the config makes no sense,
/// AFT_ERROR_SHAPE for a parameter of more than 2^31 - 1 elements, AFT_ERROR_WEIGHTS for values that aren't finite.
AFT_API aft_status aft_weights_copy(const aft_config *config, const aft_parameters *parameters, aft_weights **weights);

/// Reads the weights of one layer from a safetensors file, or from shards by their index. Tensors are F32, F16, BF16,
/// F64, F8_E4M3 or F8_E5M2. The call reads nothing else of the file. The biases of the projections may be missing. A
/// position bias may be stored as factors. `options` may be null. The errors are those of aft_weights_copy(), and:
/// AFT_ERROR_CONFIG if a naming or a parameter doesn't exist, or if the layer has no gate, which no kernel computes
/// yet; AFT_ERROR_WEIGHTS, whose message lists all that is wrong with the file or its layer: tensors that are missing,
/// that have another shape or dtype, or that the layer has no use for, and the namings if the file fits several.
AFT_API aft_status aft_weights_load(const char *path, const aft_config *config, const aft_load_options *options,
                                    aft_weights **weights);

/// Sets the members of `config` that the shapes of a stored layer imply: hidden and projected; with a position bias,
/// max_seq_len; and for AFTLocal the window, if the file has its mask. The other members stay. Set struct_size and kind
/// before the call. Set what the file doesn't hold (window, or max_seq_len of AFTSimple) before or after it. The errors
/// are those of aft_weights_load().
AFT_API aft_status aft_config_from_weights(const char *path, const aft_load_options *options, aft_config *config);

/// Destroys weights. Layers that were made from them don't need them. Null is allowed.
AFT_API void aft_weights_destroy(aft_weights *weights);

// Layers

/// One AFT layer with its weights, on its device.
typedef struct aft_layer aft_layer;

/// The kernel and the device of a layer. The library chooses where a member is null or "".
typedef struct aft_layer_options {
    uint64_t struct_size;  ///< sizeof(aft_layer_options)
    /// The id of the kernel that must run. If it is null or "", the environment's AFT_KERNEL names the kernel. If that
    /// is empty too, the library chooses one for each shape.
    const char *kernel;
    /// The device that the layer lives on: an id, or an API, which means its first usable device. If it is null or "",
    /// the environment's AFT_DEVICE names the device. If that is empty too, the layer lives on the first GPU that has a
    /// kernel and memory for it, or on the CPU.
    const char *device;
} aft_layer_options;

/// Checks `config` and `weights`, chooses the device and the kernels that may run, and prepares the weights for these
/// kernels. `options` may be null. AFT_ERROR_CONFIG, AFT_ERROR_WEIGHTS, AFT_ERROR_KERNEL; AFT_ERROR_DEVICE if a named
/// device can't be used; AFT_ERROR_SHAPE for a parameter of more than 2^31 - 1 elements.
AFT_API aft_status aft_layer_create(const aft_config *config, const aft_weights *weights,
                                    const aft_layer_options *options, aft_layer **layer);

/// Destroys a layer, after all queued work of its device. Null is allowed.
AFT_API void aft_layer_destroy(aft_layer *layer);

/// y = layer(x) for float32 tensors in the host's memory. A layer on a GPU copies x to the device and y back. The call
/// returns when y is complete.
/// - extents: of x and y: batch >= 0, seq in 0..max_seq_len, hidden. If batch or seq is 0, the call does nothing, and x
///   and y may be null.
/// - x_strides, y_strides: in elements, outermost first. The stride of the channels is 1. Rows and samples may have any
///   positive stride that keeps them apart. Null means row-major without gaps.
/// - y: the call overwrites it fully. It must not overlap x.
///
/// AFT_ERROR_SHAPE before y is written. AFT_ERROR_KERNEL and AFT_ERROR_DEVICE leave y undefined. The result has the
/// same bits for any number of threads, for a sample alone or in a batch, and in any floating-point environment of the
/// caller. The call restores that environment.
AFT_API aft_status aft_layer_forward(const aft_layer *layer, const int64_t extents[3], const float *x,
                                     const int64_t *x_strides, float *y, const int64_t *y_strides);

/// y = layer(x) for tensors in the memory of the layer's CUDA device. The call copies nothing and waits for nothing: it
/// queues the work on `stream`, a CUstream or cudaStream_t. Null is the default stream; cudaStreamPerThread is refused.
/// Read y in later work on the same stream, or after aft_layer_synchronize(). AFT_ERROR_SHAPE and AFT_ERROR_DEVICE (the
/// layer is on another API, or the memory isn't the device's) before anything is queued, AFT_ERROR_KERNEL if a launch
/// fails.
AFT_API aft_status aft_layer_forward_cuda(const aft_layer *layer, const int64_t extents[3], const float *x,
                                          const int64_t *x_strides, float *y, const int64_t *y_strides, void *stream);

/// Waits until the device has done all queued work. AFT_ERROR_DEVICE if some of it failed.
AFT_API aft_status aft_layer_synchronize(const aft_layer *layer);

/// The device that the layer lives on.
AFT_API aft_status aft_layer_device(const aft_layer *layer, const aft_device_info **device);

/// The kernel that aft_layer_forward() runs for a shape: batch >= 0 and seq in 0..max_seq_len, else AFT_ERROR_SHAPE. If
/// one of them is 0, no kernel runs; then it is the kernel for the shapes that no other kernel of the layer is for.
AFT_API aft_status aft_layer_kernel_for(const aft_layer *layer, int64_t batch, int64_t seq,
                                        const aft_kernel_info **kernel);

/// The config that the layer was made with. Set the struct_size of `config` before the call.
AFT_API aft_status aft_layer_config(const aft_layer *layer, aft_config *config);

/// Bytes of host memory that the layer keeps between calls as scratch. aft_layer_destroy() frees them.
AFT_API aft_status aft_layer_scratch_bytes(const aft_layer *layer, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,readability-identifier-naming)
