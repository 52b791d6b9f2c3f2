#pragma once

/// @file
/// The library for C, and for languages that call C. It has the layers, states, weights, kernels and devices of
/// <aft/aft.h>, with the same bits. examples/forward.c is a whole program; examples/step.c runs a sequence in pieces.
///
/// Errors. A function that can fail returns an aft_status. It writes its results, which are its last arguments, only if
/// that is AFT_OK. aft_last_error() has the message. No exception leaves the library, and it never prints or aborts.
///
/// Ownership. aft_..._create, _load, _copy and _copy_core make an object that the caller destroys. The library owns all
/// else that it returns: infos and their strings live until the process ends. After a call has returned, the library
/// keeps none of the call's pointers (aft_layer_forward_cuda(): after the stream has done the work).
///
/// Threads. Any number of threads may call functions at a time, also on the same objects, except on an aft_state: one
/// call at a time may use a state. While an object is being destroyed, nothing else may use it.
///
/// ABI. A program runs with the version of the library that it was compiled with, and with every later one of the same
/// major version (before 1.0: of the same minor version). Functions and the values of constants stay. Structs get new
/// members at their end only. A struct that the caller makes begins with struct_size, unless it will never grow: set it
/// to sizeof of the type, and set unused members to 0. A library that is older than the program refuses members that it
/// doesn't know unless they are 0. Infos may be longer than their types: use them by pointer, don't copy them.
#include <aft/config_c.h>
#include <aft/export.h>

#include <stdbool.h>
#include <stdint.h>

// NOLINTBEGIN(modernize-use-using,readability-identifier-naming): C
#ifdef __cplusplus
extern "C" {
#endif

// Weights

/// The parameters of a layer.
typedef struct aft_weights aft_weights;

/// Parameters in the caller's memory: float32, row-major, without gaps, with the shapes of aft-pytorch's state_dict
/// (y = x W^T + b). A null bias of a projection means 0.
typedef struct aft_parameters {
    uint64_t struct_size;       ///< sizeof(aft_parameters)
    const float *query_weight;  ///< to_q: [P, H]; not read without a gate
    const float *query_bias;    ///< to_q: [P]; not read without a gate
    const float *key_weight;    ///< to_k: [P, key_hidden]
    const float *key_bias;      ///< to_k: [P]
    const float *value_weight;  ///< to_v: [P, value_hidden]
    const float *value_bias;    ///< to_v: [P]
    /// project: [H, P]. If it and project_bias are null and H = P, the layer has no output projection: its output is
    /// the gated mean.
    const float *project_weight;
    const float *project_bias;  ///< project: [H]
    /// wbias: [S, S], target by source, of forms with a position bias; AFT-conv: [heads, window], by the distance
    /// t - t'. -inf masks a pair.
    const float *position_bias;
    const float *decay;  ///< AFT_LAYER_WKV: [P], >= 0, by which a key's exponent falls with each position
    const float *bonus;  ///< AFT_LAYER_WKV: [P], added to the key of the current position
} aft_parameters;

/// Selects one layer of a file. Without options, the file must have exactly one layer, with the names of one network.
typedef struct aft_load_options {
    uint64_t struct_size;  ///< sizeof(aft_load_options)
    /// The start of the layer's tensor names: "attn_proj.layers.0.attn.". "" selects the layer whose names have no
    /// prefix. If it is null, the layer is searched for.
    const char *prefix;
    /// "aft-pytorch", "labml-nn", "featurebooster", "liftfeat", "external-attention" or "rwkv-4"; docs/weights.md lists
    /// their names. If it is null or "", the names in the file decide, or with `names`, it is "aft-pytorch".
    const char *naming;
    /// Names in the file that replace those of the naming: "query=w_q" and so on, up to a null pointer, each parameter
    /// at most once. The parameters are those of aft::LoadOptions::names in <aft/weights.h>. "project=" means that the
    /// file has no such tensor. Null means no names.
    const char *const *names;
    /// The gate of the layer, instead of the gate of the network that has these names. It also tells networks apart
    /// that have the same names. A file doesn't say its gate. Null means that the names decide.
    const aft_gate *gate;
} aft_load_options;

/// Copies parameters, which must have the shapes that `config` implies. AFT_ERROR_CONFIG if the config makes no sense,
/// AFT_ERROR_SHAPE for a parameter of more than 2^31 - 1 elements, AFT_ERROR_WEIGHTS for values that aren't finite.
AFT_API aft_status aft_weights_copy(const aft_config *config, const aft_parameters *parameters, aft_weights **weights);

/// The same for an aft_core: copies the parameters of the position bias (position_bias, or decay and bonus), and reads
/// neither the others nor `hidden`.
AFT_API aft_status aft_weights_copy_core(const aft_config *config, const aft_parameters *parameters,
                                         aft_weights **weights);

/// Reads the weights of one layer from a safetensors file, or from shards by their index. Tensors are F32, F16, BF16,
/// F64, F8_E4M3 or F8_E5M2. The call reads nothing else of the file. The biases of the projections may be missing. A
/// position bias may be stored as factors, a decay as its logarithm. `options` may be null. The errors are those of
/// aft_weights_copy(), and: AFT_ERROR_CONFIG if a naming or a parameter doesn't exist, or if the config's gate isn't
/// that of the network, which options.gate replaces; AFT_ERROR_WEIGHTS, whose message lists all that is wrong with the
/// file or its layer: tensors that are missing, that have another shape or dtype, or that the layer has no use for, and
/// the namings if the file fits several.
AFT_API aft_status aft_weights_load(const char *path, const aft_config *config, const aft_load_options *options,
                                    aft_weights **weights);

/// Sets the members of `config` that a stored layer implies: gate, as aft_weights_load() expects it, hidden, projected,
/// key_hidden and value_hidden (0 where they may be); with a position bias [S, S], max_seq_len; with a window, the
/// window, if the file has its mask; for AFT-conv, heads and window. The other members stay. Set struct_size and kind
/// before the call. Set what the file doesn't hold (window, or max_seq_len of AFTSimple) before or after it. The errors
/// are those of aft_weights_load().
AFT_API aft_status aft_config_from_weights(const char *path, const aft_load_options *options, aft_config *config);

/// Destroys weights. Layers that were made from them don't need them. Null is allowed.
AFT_API void aft_weights_destroy(aft_weights *weights);

// States

/// All that a causal layer keeps of the positions before: one state per sequence of a batch, each at its own position.
/// aft_layer_step() and aft_core_step() read and update it. It lies in the host's memory. One call at a time may use
/// it.
typedef struct aft_state aft_state;

/// States at position 0 for `batch` sequences of a layer or a core. AFT_ERROR_CONFIG for a form that isn't causal, or
/// whose position bias is given by each call; AFT_ERROR_SHAPE for a batch below 0 or a state of more than 2^31 - 1
/// elements.
AFT_API aft_status aft_state_create(const aft_config *config, int64_t batch, aft_state **state);

/// A copy, independent of the original.
AFT_API aft_status aft_state_copy(const aft_state *from, aft_state **state);

/// Makes sequence `sample` a copy of sequence `from_sample` of a state with an equal config, which may be the same one.
/// AFT_ERROR_SHAPE if one of them doesn't exist, AFT_ERROR_CONFIG if the configs differ.
AFT_API aft_status aft_state_copy_sample(aft_state *state, int64_t sample, const aft_state *from, int64_t from_sample);

/// Sets a sequence back to position 0. AFT_ERROR_SHAPE unless 0 <= sample < batch.
AFT_API aft_status aft_state_reset(aft_state *state, int64_t sample);

/// The number of sequences.
AFT_API aft_status aft_state_batch(const aft_state *state, int64_t *batch);

/// How many positions of a sequence the state has seen. AFT_ERROR_SHAPE unless 0 <= sample < batch.
AFT_API aft_status aft_state_position(const aft_state *state, int64_t sample, int64_t *position);

/// Writes the state to a safetensors file, whole or not at all. AFT_ERROR_WEIGHTS if the file can't be written.
AFT_API aft_status aft_state_save(const aft_state *state, const char *path);

/// Reads a state that aft_state_save() wrote. AFT_ERROR_WEIGHTS, whose message lists all that doesn't fit `config`.
AFT_API aft_status aft_state_load(const char *path, const aft_config *config, aft_state **state);

/// Destroys a state. Null is allowed.
AFT_API void aft_state_destroy(aft_state *state);

// Layers

/// One AFT layer with its weights, on its device.
typedef struct aft_layer aft_layer;

/// The kernel, the device and the storage of a layer. The library chooses where a member is null or "".
typedef struct aft_layer_options {
    uint64_t struct_size;  ///< sizeof(aft_layer_options)
    /// The id of the kernel that must run. If it is null or "", the environment's AFT_KERNEL names the kernel. If that
    /// is empty too, the library chooses one for each shape.
    const char *kernel;
    /// The device that the layer lives on: an id, or an API, which means its first usable device. If it is null or "",
    /// the environment's AFT_DEVICE names the device. If that is empty too, the layer lives on the first GPU that has a
    /// kernel and memory for it, or on the CPU.
    const char *device;
    /// "bfloat16": where there is a kernel that keeps its operands in bfloat16 (aft_kernel_info.storage), it runs.
    /// "int8": where there is one that keeps the weights of projections in int8, it runs; the rest of the layer is in
    /// float32. A core, and training, refuse it. If it is null or "", the environment's AFT_STORAGE says so. If that is
    /// empty too, or "float32", all are float32.
    const char *storage;
} aft_layer_options;

/// Checks `config` and `weights`, chooses the device and the kernels that may run, and prepares the weights for these
/// kernels. `options` may be null. AFT_ERROR_CONFIG, AFT_ERROR_WEIGHTS, AFT_ERROR_KERNEL; AFT_ERROR_DEVICE if a named
/// device can't be used; AFT_ERROR_SHAPE for a parameter of more than 2^31 - 1 elements.
AFT_API aft_status aft_layer_create(const aft_config *config, const aft_weights *weights,
                                    const aft_layer_options *options, aft_layer **layer);

/// Destroys a layer, after all queued work of its device. Null is allowed.
AFT_API void aft_layer_destroy(aft_layer *layer);

/// A tensor of float32 in the caller's memory: [batch, rows, channels]. All 0 means no tensor.
typedef struct aft_tensor {
    const float *data;   ///< the first element
    int64_t extents[3];  ///< outermost first
    /// Three, in elements, outermost first. Null means row-major without gaps.
    const int64_t *strides;
} aft_tensor;

/// A mask in the caller's memory: true where the target sees the source. All 0 means no mask.
typedef struct aft_mask {
    const bool *data;    ///< the first element, of one byte, 0 or 1
    int64_t extents[3];  ///< [batch, targets, sources]
    /// Three, in elements, outermost first; 0 for the samples or the targets if all have the same. Null means row-major
    /// without gaps.
    const int64_t *strides;
} aft_mask;

/// The position bias and the sources that the targets of a call see: B samples, n targets, m sources. Sources that are
/// hidden may hold anything, NaN included: they touch no result. A target without a visible source has the mean 0.
typedef struct aft_sight {
    uint64_t struct_size;  ///< sizeof(aft_sight)
    /// w: [B, n, m], of AFT_LAYER_GIVEN and AFT_LAYER_CAUSAL_GIVEN only. The stride of the samples or of the targets
    /// may be 0. -inf hides a pair; no other value may be infinite or NaN.
    aft_tensor position_bias;
    /// Factor of position_bias, finite: with distances as position_bias, -alpha makes w = -alpha distance. Null
    /// means 1.
    const float *bias_scale;
    /// [B] of 0..m: sample b has the sources j < lengths[b]. Null means all. A layer whose query is its
    /// only input has as many targets: y is 0 in the rows from lengths[b] on. So it is with a causal core that has as
    /// many targets as sources.
    const int64_t *lengths;
    /// [B, n, m]. A mask of sources has one row per sample (stride 0 of the targets), a mask of pairs may be the same
    /// in every sample. AFT_LAYER_CONV and AFT_LAYER_WKV take masks of sources only.
    aft_mask mask;
} aft_sight;

/// Sources of a layer that are kept for many calls: their keys and values, on the layer's device.
typedef struct aft_sources aft_sources;

/// The inputs of a layer: n targets, m sources.
typedef struct aft_layer_inputs {
    uint64_t struct_size;        ///< sizeof(aft_layer_inputs)
    aft_tensor query;            ///< [B, n, hidden]
    aft_tensor key;              ///< [B, m, key_hidden]; none: the query input
    aft_tensor value;            ///< [B, m, value_hidden]; none: the key input
    const aft_sources *sources;  ///< sources that were kept, instead of key and value; or null
    const aft_sight *sight;      ///< position bias, lengths, mask; or null
} aft_layer_inputs;

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

/// y = layer(inputs) in every form: other inputs for keys and values, a position bias of the call, lengths, masks.
/// - extents: of y: B, n, hidden. n and m are 0..max_seq_len if the form has a position bias [S, S].
/// - The strides of inputs are as in aft_layer_forward(), and the stride of the samples may be 0.
/// - y: as in aft_layer_forward(). It must overlap no input.
/// - Causal forms see the sources j <= i + m - n: the last target is at the last source. AFT_LAYER_CAUSAL_SIMPLE,
///   _CAUSAL_LOCAL, _CONV and _WKV take as many targets as sources.
///
/// The errors are those of aft_layer_forward(). Without key, value, sources and sight, y is that of
/// aft_layer_forward().
AFT_API aft_status aft_layer_call(const aft_layer *layer, const aft_layer_inputs *inputs, const int64_t extents[3],
                                  float *y, const int64_t *y_strides);

/// The next n positions of every sequence of a state: y = layer(x), where targets also see all positions before.
/// - extents: of x and y: the state's batch, n, hidden.
/// - lengths: [batch] of 0..n: how many of them sequence b has; y is 0 in its other rows. Null means n of each.
///
/// A sequence may come in pieces of any sizes: y is that of one call with all of it, up to the order of sums.
/// x_strides, y and y_strides are as in aft_layer_forward(). AFT_ERROR_SHAPE, before anything changes, if a position
/// would pass max_seq_len of a form with a position bias [S, S]; AFT_ERROR_CONFIG if the state's config differs from
/// the layer's. After AFT_ERROR_KERNEL and AFT_ERROR_DEVICE the state is what it was before.
AFT_API aft_status aft_layer_step(const aft_layer *layer, aft_state *state, const int64_t extents[3], const float *x,
                                  const int64_t *x_strides, const int64_t *lengths, float *y, const int64_t *y_strides);

/// Computes the keys and values of sources once, for calls with aft_layer_inputs.sources. `key` and `value` are as in
/// these; a null value means the key input. AFT_ERROR_SHAPE, AFT_ERROR_KERNEL, AFT_ERROR_DEVICE. Destroy the sources
/// before the layer.
AFT_API aft_status aft_sources_create(const aft_layer *layer, const aft_tensor *key, const aft_tensor *value,
                                      aft_sources **sources);

/// Destroys kept sources. Null is allowed.
AFT_API void aft_sources_destroy(aft_sources *sources);

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

// Cores

/// The weighted mean of a form, without projections:
///
///     y[b, i, c] = gate(Q[b, i, c]) sum_j exp(K[b, j, c] + w[b, i, j]) V[b, j, c] / sum_j exp(K[b, j, c] + w[b, i, j])
///
/// over the sources j that target i sees. Right for every finite input, as long as the sum of m values stays within
/// float32.
typedef struct aft_core aft_core;

/// The inputs of a core: n targets, m sources, P channels.
typedef struct aft_core_inputs {
    uint64_t struct_size;    ///< sizeof(aft_core_inputs)
    aft_tensor query;        ///< [B, n, P]; not read without a gate
    aft_tensor key;          ///< [B, m, P]; -inf hides a source from a channel
    aft_tensor value;        ///< [B, m, P]
    const aft_sight *sight;  ///< position bias, lengths, mask; or null
} aft_core_inputs;

/// Checks `config`, whose hidden isn't read, and the parameters of the position bias in `weights`, and chooses the
/// device and the kernels. `weights` may be null for forms without such parameters, `options` for all. The errors are
/// those of aft_layer_create().
AFT_API aft_status aft_core_create(const aft_config *config, const aft_weights *weights,
                                   const aft_layer_options *options, aft_core **core);

/// Destroys a core. Null is allowed.
AFT_API void aft_core_destroy(aft_core *core);

/// y: `extents` are B, n, P. Strides, overlaps, empty extents, bits and errors are those of aft_layer_call().
AFT_API aft_status aft_core_forward(const aft_core *core, const aft_core_inputs *inputs, const int64_t extents[3],
                                    float *y, const int64_t *y_strides);

/// The next n positions of every sequence of a state: see aft_layer_step(). There are as many sources as targets, and
/// the sight may have lengths only.
AFT_API aft_status aft_core_step(const aft_core *core, aft_state *state, const aft_core_inputs *inputs,
                                 const int64_t extents[3], float *y, const int64_t *y_strides);

/// The device that the core lives on.
AFT_API aft_status aft_core_device(const aft_core *core, const aft_device_info **device);

/// The kernel that aft_core_forward() runs for n targets and m sources without a mask. AFT_ERROR_SHAPE if one of them
/// is out of range.
AFT_API aft_status aft_core_kernel_for(const aft_core *core, int64_t targets, int64_t sources,
                                       const aft_kernel_info **kernel);

/// The config that the core was made with. Set the struct_size of `config` before the call.
AFT_API aft_status aft_core_config(const aft_core *core, aft_config *config);

/// Bytes of host memory that the core keeps between calls as scratch. aft_core_destroy() frees them.
AFT_API aft_status aft_core_scratch_bytes(const aft_core *core, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,readability-identifier-naming)
