#pragma once

/// @file
/// Errors, configs, kernels and devices in C. A part of <aft/aft_c.h>, which has the rules for all of them.
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
    AFT_ERROR_SHAPE = 2,      ///< extents, strides or an overlap that the call doesn't accept; nothing was written
    AFT_ERROR_CONFIG = 3,     ///< a config or options that make no sense, or a kernel that can't serve the layer
    AFT_ERROR_WEIGHTS = 4,    ///< weights that don't fit the config, or a file that can't be read or written
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
/// Values of aft_layer_kind. A causal layer's targets see the sources up to their own position.
enum {
    AFT_LAYER_NONE = -1,          ///< no form: of kernels that serve every form
    AFT_LAYER_FULL = 0,           ///< AFTFull: a position bias between any two positions
    AFT_LAYER_SIMPLE = 1,         ///< AFTSimple: no position bias
    AFT_LAYER_LOCAL = 2,          ///< AFTLocal: a position bias within a window, 0 outside
    AFT_LAYER_CAUSAL_FULL = 3,    ///< causal AFTFull
    AFT_LAYER_CAUSAL_SIMPLE = 4,  ///< causal AFTSimple
    AFT_LAYER_CAUSAL_LOCAL = 5,   ///< causal AFTLocal
    AFT_LAYER_CONV = 6,           ///< causal AFT-conv: a position bias by head and distance, within a window
    AFT_LAYER_WKV = 7,            ///< the time mixing of RWKV-4: a decay, and a bonus for the current position
    AFT_LAYER_GIVEN = 8,          ///< AFTFull with a position bias that each call gives
    AFT_LAYER_CAUSAL_GIVEN = 9    ///< the same, causal
};

/// The factor of the weighted mean: AFT_GATE_... As wide as its neighbours, so that structs have no gaps at their end.
typedef int64_t aft_gate;
/// Values of aft_gate.
enum {
    AFT_GATE_SIGMOID = 0,  ///< sigmoid(Q)
    AFT_GATE_TANH = 1,     ///< tanh(Q)
    AFT_GATE_NONE = 2,     ///< 1: the layer has no query
    AFT_GATE_IDENTITY = 3  ///< Q itself, as in LiftFeat
};

/// The form and the sizes of a layer. Its weights are not part of it.
typedef struct aft_config {
    uint64_t struct_size;  ///< sizeof(aft_config)
    aft_layer_kind kind;   ///< the form
    int64_t hidden;        ///< H, channels of input and output, >= 1
    int64_t projected;     ///< P, channels of query, key and value, >= 1
    int64_t max_seq_len;   ///< S, the longest sequence, >= 1; a position bias is [S, S]
    int64_t window;        ///< s, of forms with a window: the bias holds where |t - t'| < s; >= 0, AFT-conv: >= 1
    aft_gate gate;         ///< the gate; 0 is the sigmoid
    int64_t key_hidden;    ///< channels of the key input; 0: hidden
    int64_t value_hidden;  ///< channels of the value input; 0: key_hidden
    int64_t heads;         ///< of AFT-conv: heads of projected / heads neighbouring channels; 0: 1
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
    aft_layer_kind layer;  ///< the form that it computes; AFT_LAYER_NONE: it serves every form
    int32_t usable;        ///< 1 if this machine has a device that can run it
    const char *reason;    ///< why it isn't usable; "" if it is
    const char *device;    ///< the API of its devices: cpu, cuda, opencl or vulkan
    const char *schedule;  ///< packed, naive, tiled, adams2019, ...
    const char *target;    ///< the Halide target that it was compiled for
    const char *storage;   ///< float32, bfloat16 or int8; those run only where options name them or their storage
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
    const char *operation;          ///< the operation that it computes: KernelInfo::operation in <aft/kernels.h>
    const char *algorithm;          ///< dense, banded, softmax, exact, ...: how it computes the mean of the values
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

/// The number of kernels: those that were loaded and those of this build. AFT_ERROR_CONFIG if the file that the
/// environment's AFT_WISDOM names is refused.
AFT_API aft_status aft_kernel_count(int64_t *count);
/// A kernel, index 0 to count - 1, in order of preference within a form and a device. aft_load_kernels() changes the
/// indices.
AFT_API aft_status aft_kernel_at(int64_t index, const aft_kernel_info **kernel);
/// Loads the kernels and the lengths that `aft tune` found, from its file of wisdom and the shared objects beside it,
/// for layers that are made later: see aft::load_kernels() in <aft/kernels.h>. The shared objects are programs: load
/// only files that you made or trust. AFT_ERROR_CONFIG if the file, or what lies beside it, is refused.
AFT_API aft_status aft_load_kernels(const char *path);

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

/// A loop on threads of the program: calls iteration(argument, i) once for each i of 0..count - 1, on any threads, in
/// any order, and returns when all calls have returned. An iteration may run a loop within.
typedef void (*aft_parallel_for)(void *context, int32_t count, void (*iteration)(void *argument, int32_t index),
                                 void *argument);
/// From now on, kernels run their parallel loops by `run`, which gets `context`: a program whose own threads wait for
/// work on the same processors is slowed down by a second pool. Null: by the threads of the library again. Results have
/// the same bits. Must not be called while a layer runs.
AFT_API aft_status aft_set_parallel_for(aft_parallel_for run, void *context);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,readability-identifier-naming)
