#pragma once

/// @file
/// The library for C, and for whatever calls C: layers, weights, kernels and devices as in <aft/aft.h>, with the same
/// bits. examples/forward.c is a whole program.
///
/// Errors. A function that can fail returns an aft_status, and writes its results, its last arguments, only when that
/// is AFT_OK. aft_last_error() has the message. No exception leaves the library, and it never prints or aborts.
///
/// Ownership. aft_..._create, _load and _copy give an object that the caller destroys. Everything else that is returned
/// stays the library's: infos and their strings until the process ends. The library keeps no pointer that it is given
/// once the call has returned (aft_layer_forward_cuda(): once the stream has come there).
///
/// Threads. Functions may be called from any number of threads at a time, on the same objects too, except that
/// nothing else may use an object that is being destroyed.
///
/// ABI. Within a major version, before 1.0 within a minor one, a program runs with every version of the library from
/// the one on that it was compiled with: functions and the values of constants stay, and structs get new members at
/// their end only. A struct that the caller makes begins with its struct_size, sizeof of the type: set it, and every
/// member that isn't used to 0. A library that is older than the program refuses members that it doesn't know unless
/// they are 0. Infos may be longer than their types say: each is reached by its own pointer.
#include <aft/export.h>
#include <aft/version.h>

#include <stdint.h>

// NOLINTBEGIN(modernize-use-using,readability-identifier-naming): C
#ifdef __cplusplus
extern "C" {
#endif

/// What came of a call: AFT_OK or an AFT_ERROR_...
typedef int32_t aft_status;
/// Values of aft_status.
enum {
    AFT_OK = 0,               ///< it did what it says
    AFT_ERROR_ARGUMENT = 1,   ///< a null pointer, an index out of range, a struct that this version doesn't know
    AFT_ERROR_SHAPE = 2,      ///< an extent, a stride or an overlap that a call can't take; nothing was written
    AFT_ERROR_CONFIG = 3,     ///< a config or options that make no sense, a kernel that can't serve the layer
    AFT_ERROR_WEIGHTS = 4,    ///< weights that don't fit the config, or a file that doesn't hold them
    AFT_ERROR_DEVICE = 5,     ///< a device that isn't there, can't be used, or failed
    AFT_ERROR_KERNEL = 6,     ///< a kernel failed, for want of memory for its scratch too; the output is undefined
    AFT_ERROR_NO_MEMORY = 7,  ///< the host has no memory left
    AFT_ERROR_INTERNAL = 8    ///< anything else: a defect of the library
};

/// Why the last call that failed in this thread did: one line that names the value and the limit. "" before any has.
/// Calls that succeed leave it, the next that fails overwrites it, and the pointer is the thread's for as long as it
/// lives. It is kept in 4096 bytes of the thread's own, so that running out of memory doesn't lose it; longer messages
/// are cut off.
AFT_API const char *aft_last_error(void);

/// The library's version. It differs from AFT_VERSION, that of this header, where the program was compiled with
/// another one.
AFT_API const char *aft_version(void);

// Layers' configs

/// One of the three layers of "An Attention Free Transformer" (Zhai et al., arXiv 2105.14103): AFT_LAYER_...
typedef int32_t aft_layer_kind;
/// Values of aft_layer_kind.
enum {
    AFT_LAYER_FULL = 0,    ///< AFTFull: a position bias between any two positions
    AFT_LAYER_SIMPLE = 1,  ///< AFTSimple: no position bias
    AFT_LAYER_LOCAL = 2    ///< AFTLocal: a position bias within a window, 0 outside
};

/// What a layer computes, apart from its weights.
typedef struct aft_config {
    uint64_t struct_size;  ///< sizeof(aft_config)
    aft_layer_kind kind;   ///< which layer
    int64_t hidden;        ///< H, channels of input and output, >= 1
    int64_t projected;     ///< P, channels of query, key and value, >= 1
    int64_t max_seq_len;   ///< S, the longest sequence, >= 1; full and local: the size of the position bias
    int64_t window;        ///< s, local only: the bias holds where |t - t'| < s and is 0 elsewhere; >= 0
} aft_config;

// Kernels and devices

/// Extents from..to, both included.
typedef struct aft_range {
    int64_t from;  ///< the least
    int64_t to;    ///< the most
} aft_range;

/// One kernel of this build: an operation of one layer, by one algorithm, scheduled one way for one target.
typedef struct aft_kernel_info {
    const char *id;        ///< e.g. aft_full_cpu_packed; `aft_full_cpu_packed@avx2` where the build has several targets
    aft_layer_kind layer;  ///< the layer that it computes
    int32_t usable;        ///< 1: this machine has a device that can run it
    const char *reason;    ///< why not; "" when it is usable
    const char *device;    ///< the API of its devices: cpu, cuda, opencl or vulkan
    const char *schedule;  ///< packed, naive, tiled, adams2019, ...
    const char *target;    ///< the Halide target that it was compiled for
    const char *storage;   ///< float32 or bfloat16; a kernel that stores bfloat16 runs only when asked for by its id
    double max_bias_range;   ///< the largest maximum - minimum of a row of position bias that it takes; may be INFINITY
    int64_t minimum_batch;   ///< the smallest B that it takes
    int64_t minimum_seq;     ///< T
    int64_t minimum_hidden;  ///< H
    int64_t minimum_projected;      ///< P
    int64_t minimum_window;         ///< s
    aft_range preferred_seq;        ///< the T that it is made for; beyond, it runs only when asked for by its id
    aft_range preferred_hidden;     ///< H
    aft_range preferred_projected;  ///< P
    aft_range preferred_window;     ///< s
    const char *operation;          ///< the operation that it computes: forward
    const char *algorithm;          ///< dense, banded, softmax or exact: how it computes the mean of the values
} aft_kernel_info;

/// A device of this machine that this build has kernels for, or the reason why there is none.
typedef struct aft_device_info {
    const char *id;      ///< cpu, or `<api>:<number>`: cuda:0, opencl:1
    const char *api;     ///< cpu, cuda, opencl or vulkan
    const char *name;    ///< the driver's name for it; "" when no device was found
    uint64_t memory;     ///< bytes; 0 when unknown
    int32_t is_gpu;      ///< 0: the CPU, also behind a driver that runs OpenCL or Vulkan on it
    int32_t usable;      ///< 1: some kernel of this build can run on it
    const char *reason;  ///< why not; "" when it is usable
} aft_device_info;

/// The kernels of this build, in order of preference within a layer and a device. Index 0 is the first.
AFT_API aft_status aft_kernel_count(int64_t *count);
/// See aft_kernel_count().
AFT_API aft_status aft_kernel_at(int64_t index, const aft_kernel_info **kernel);

/// The devices, in the order in which layers that ask for none choose; an API without a device comes once and last,
/// with the reason. Found once per process. Index 0 is the first.
AFT_API aft_status aft_device_count(int64_t *count);
/// See aft_device_count().
AFT_API aft_status aft_device_at(int64_t index, const aft_device_info **device);

/// Threads that kernels run on, in this process, the caller's included: 1 to 256, or AFT_ERROR_CONFIG. Default: the
/// processors that the process may run on, or fewer where its control groups have a quota of CPU time. Not to be set
/// while a layer runs.
AFT_API aft_status aft_set_thread_count(int32_t threads);
/// How many there are. Not to be asked for while they are set.
AFT_API aft_status aft_thread_count(int32_t *threads);

// Weights

/// The parameters of a layer.
typedef struct aft_weights aft_weights;

/// Parameters in the caller's memory: float32, row-major, without gaps, with the shapes of aft-pytorch's state_dict
/// (y = x W^T + b). A bias may be null, which means 0.
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
    const float *position_bias;   ///< wbias: [S, S], target by source; full and local only, -inf masks a pair
} aft_parameters;

/// Which layer of a file is meant. With none set, the file must have one layer with the names of one network.
typedef struct aft_load_options {
    uint64_t struct_size;  ///< sizeof(aft_load_options)
    /// What the layer's names begin with: "attn_proj.layers.0.attn.", or "" for no more than its own names. Null: not
    /// set.
    const char *prefix;
    /// "aft-pytorch", "labml-nn", "featurebooster", "liftfeat" or "external-attention", whose names docs/weights.md
    /// has. Null or "": the one that the file's names fit; with names below, "aft-pytorch".
    const char *naming;
    /// Names that take the place of the naming's, "query=w_q" and so on up to a null pointer, each parameter once:
    /// those of aft::LoadOptions::names in <aft/weights.h>. "project=" says that the file has none. Null: no names.
    const char *const *names;
} aft_load_options;

/// Copies parameters of the shapes that `config` implies. AFT_ERROR_CONFIG for a config that makes no sense,
/// AFT_ERROR_SHAPE for a parameter of more than 2^31 - 1 elements, AFT_ERROR_WEIGHTS for values that aren't finite.
AFT_API aft_status aft_weights_copy(const aft_config *config, const aft_parameters *parameters, aft_weights **weights);

/// Reads the weights of a layer of a safetensors file, or of its shards by their index, F32, F16, BF16, F64, F8_E4M3 or
/// F8_E5M2, and no more of the file than those. Biases may be missing; a position bias may be stored as factors. Null
/// options: none. The errors of aft_weights_copy(), AFT_ERROR_CONFIG for a naming or a parameter that doesn't exist and
/// for a layer without a gate, which no kernel computes yet, and AFT_ERROR_WEIGHTS, which lists all that is wrong with
/// the file or its layer: tensors that are missing, of another shape or dtype, or of no use to the layer, and namings
/// where the file fits more than one.
AFT_API aft_status aft_weights_load(const char *path, const aft_config *config, const aft_load_options *options,
                                    aft_weights **weights);

/// Sets hidden and projected, for full and local max_seq_len, and for local the window where the file has its mask, to
/// what the shapes of a file's layer imply. The rest of `config` stays: set its struct_size, kind and what a file
/// doesn't hold (window; max_seq_len of AFTSimple) before or after. Errors as aft_weights_load().
AFT_API aft_status aft_config_from_weights(const char *path, const aft_load_options *options, aft_config *config);

/// Null is fine. Layers made of the weights don't need them any more.
AFT_API void aft_weights_destroy(aft_weights *weights);

// Layers

/// One AFT layer with its weights, on its device.
typedef struct aft_layer aft_layer;

/// How a layer is run.
typedef struct aft_layer_options {
    uint64_t struct_size;  ///< sizeof(aft_layer_options)
    /// The id of the kernel that must run. Null or "": that of the environment's AFT_KERNEL, and without one the choice
    /// of the registry.
    const char *kernel;
    /// The device that the layer lives on: an id of the devices, or an API for its first usable one. Null or "": that
    /// of the environment's AFT_DEVICE, and without one the first GPU that has a kernel and memory for it, or the CPU.
    const char *device;
} aft_layer_options;

/// Checks config and weights, chooses the device and the kernels that may run, and prepares the weights for them. Null
/// options: none. AFT_ERROR_CONFIG, AFT_ERROR_WEIGHTS, AFT_ERROR_KERNEL, AFT_ERROR_DEVICE for a device that was asked
/// for, AFT_ERROR_SHAPE for a parameter of more than 2^31 - 1 elements.
AFT_API aft_status aft_layer_create(const aft_config *config, const aft_weights *weights,
                                    const aft_layer_options *options, aft_layer **layer);

/// Null is fine. Waits for what is queued on the layer's device.
AFT_API void aft_layer_destroy(aft_layer *layer);

/// y = layer(x), both float32 in the host's memory; a layer on a GPU copies x there and y back. Returns when y is
/// complete.
/// extents: of x and of y: batch >= 0, seq in 0..max_seq_len, hidden. Where batch or seq is 0 nothing is done, and x
/// and y may be null. x_strides, y_strides: in elements, outermost first. The channels' is 1; rows and samples lie at
/// any positive stride that keeps them apart. Null: row-major without gaps. y: fully overwritten; must not overlap x.
/// AFT_ERROR_SHAPE before y is written. AFT_ERROR_KERNEL and AFT_ERROR_DEVICE leave y undefined. The result has the
/// same bits for any number of threads, for a sample alone or in a batch, and in any floating-point environment of the
/// caller, which stays as it was.
AFT_API aft_status aft_layer_forward(const aft_layer *layer, const int64_t extents[3], const float *x,
                                     const int64_t *x_strides, float *y, const int64_t *y_strides);

/// The same where x and y lie in the memory of the layer's CUDA device: the work is queued on `stream`, a CUstream or
/// cudaStream_t (null: the default stream; not cudaStreamPerThread), and nothing is copied or waited for. y is complete
/// when the stream has come to its end. AFT_ERROR_SHAPE and AFT_ERROR_DEVICE (a layer on another API, memory that isn't
/// the device's) before anything is queued, AFT_ERROR_KERNEL when a launch fails.
AFT_API aft_status aft_layer_forward_cuda(const aft_layer *layer, const int64_t extents[3], const float *x,
                                          const int64_t *x_strides, float *y, const int64_t *y_strides, void *stream);

/// Waits until the device has done all that was queued on it. AFT_ERROR_DEVICE if some of it failed.
AFT_API aft_status aft_layer_synchronize(const aft_layer *layer);

/// Where the layer lives.
AFT_API aft_status aft_layer_device(const aft_layer *layer, const aft_device_info **device);

/// The kernel that aft_layer_forward() runs for batch >= 0 and seq in 0..max_seq_len, or would run for a shape that no
/// other kernel of the layer is for, where one of them is 0; AFT_ERROR_SHAPE beyond.
AFT_API aft_status aft_layer_kernel_for(const aft_layer *layer, int64_t batch, int64_t seq,
                                        const aft_kernel_info **kernel);

/// What the layer computes. Set the struct_size of `config` before.
AFT_API aft_status aft_layer_config(const aft_layer *layer, aft_config *config);

/// Bytes of the host's memory that the layer keeps from call to call as scratch. They are freed with the layer.
AFT_API aft_status aft_layer_scratch_bytes(const aft_layer *layer, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,readability-identifier-naming)
