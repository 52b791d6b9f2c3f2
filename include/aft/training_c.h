#pragma once

/// @file
/// Training in C: <aft/training.h>, with the same bits. <aft/aft_c.h> has the rules for errors, ownership, threads and
/// structs, and is included.
#include <aft/aft_c.h>

// NOLINTBEGIN(modernize-use-using,readability-identifier-naming): C
#ifdef __cplusplus
extern "C" {
#endif

// Means

/// The weighted mean of a form, without projections, with its gradients: aft::CoreTraining of <aft/training.h>. It
/// holds no weights, as they change from step to step. It runs on the CPU.
typedef struct aft_core_training aft_core_training;

/// The trained parameters of a weighted mean, in one step of training.
typedef struct aft_core_parameters {
    uint64_t struct_size;        ///< sizeof(aft_core_parameters)
    const float *position_bias;  ///< w: [S, S], without gaps, of forms that have such a parameter; else null
} aft_core_parameters;

/// Where a gradient is written. All 0 means that it isn't computed.
typedef struct aft_gradient {
    float *data;         ///< the first element
    int64_t extents[3];  ///< outermost first
    /// Three, in elements, outermost first. Null means row-major without gaps.
    const int64_t *strides;
} aft_gradient;

/// Where aft_core_training_backward() writes gradients.
typedef struct aft_core_gradients {
    uint64_t struct_size;  ///< sizeof(aft_core_gradients)
    aft_gradient query;    ///< [B, n, P]
    aft_gradient key;      ///< [B, m, P]
    aft_gradient value;    ///< [B, m, P]
    /// That of aft_sight.position_bias, [B, n, m]: of each sample, or with a stride of 0 of the samples, summed over
    /// them. 0 where a bias of -inf hides the source.
    aft_gradient given_bias;
    /// That of aft_core_parameters.position_bias, [S, S], without gaps, summed over the samples; null: it isn't
    /// computed. 0 for positions without a target or source, and outside the window.
    float *position_bias;
} aft_core_gradients;

/// Checks `config`, whose hidden isn't read, and chooses the kernels. `options` may be null. AFT_ERROR_CONFIG for a
/// config that aft_core_create() refuses, and for AFT_LAYER_CONV and AFT_LAYER_WKV, which have no gradients yet.
AFT_API aft_status aft_core_training_create(const aft_config *config, const aft_layer_options *options,
                                            aft_core_training **training);

/// Destroys the object. Null is allowed.
AFT_API void aft_core_training_destroy(aft_core_training *training);

/// How many floats aft_core_training_forward() saves for the gradients of a call of B samples (batch) of n targets.
/// `sight` may be null, and needs nothing but its mask.
AFT_API aft_status aft_core_training_saved_size(const aft_core_training *training, int64_t batch, int64_t targets,
                                                const aft_sight *sight, int64_t *size);

/// aft_core_forward() of the inputs, and what aft_core_training_backward() needs.
/// - parameters: null for forms without parameters.
/// - extents, y, y_strides: as in aft_core_forward().
/// - saved: as many floats as aft_core_training_saved_size() says; null for 0. It must overlap neither y nor an input.
///
/// AFT_ERROR_SHAPE, AFT_ERROR_KERNEL.
AFT_API aft_status aft_core_training_forward(const aft_core_training *training, const aft_core_parameters *parameters,
                                             const aft_core_inputs *inputs, const int64_t extents[3], float *y,
                                             const int64_t *y_strides, float *saved);

/// The mean of each target and channel without the gate, and the logarithm of the sum of its weights: one source with
/// this key and this value stands for all sources of the inputs, whose query isn't read. A target without a visible
/// source or without a result has the mean 0 and the log weight -INFINITY. `extents` are those of both, [B, n, P]; they
/// overlap neither each other nor an input. AFT_ERROR_SHAPE, AFT_ERROR_KERNEL.
AFT_API aft_status aft_core_training_partial(const aft_core_training *training, const aft_core_parameters *parameters,
                                             const aft_core_inputs *inputs, const int64_t extents[3], float *mean,
                                             const int64_t *mean_strides, float *log_weight,
                                             const int64_t *log_weight_strides);

/// The gradients of a loss L with dy = dL/dy at a call and its `saved`. They overlap nothing else of the call, and
/// those of hidden sources and of targets without a result are 0. extents and dy_strides are those of dy, [B, n, P];
/// its rows without a result aren't read. The same bits for any number of threads. AFT_ERROR_SHAPE, whose message calls
/// the gradients dquery, dkey, dvalue, dgiven_bias and dposition_bias; AFT_ERROR_KERNEL.
AFT_API aft_status aft_core_training_backward(const aft_core_training *training, const aft_core_parameters *parameters,
                                              const aft_core_inputs *inputs, const int64_t extents[3], const float *dy,
                                              const int64_t *dy_strides, const float *saved,
                                              const aft_core_gradients *gradients);

/// The config that it was made with. Set the struct_size of `config` before the call.
AFT_API aft_status aft_core_training_config(const aft_core_training *training, aft_config *config);

/// Bytes of memory that it keeps between calls as scratch. aft_core_training_destroy() frees them.
AFT_API aft_status aft_core_training_scratch_bytes(const aft_core_training *training, uint64_t *bytes);

// Layers

/// A layer with its gradients: aft::LayerTraining of <aft/training.h>. It holds no weights, as they change from step to
/// step. It runs on the CPU.
typedef struct aft_layer_training aft_layer_training;

/// Where aft_layer_training_backward() writes gradients. Those of parameters have the shapes of aft_parameters, without
/// gaps, and are summed over the samples. A null pointer means that a gradient isn't computed.
typedef struct aft_layer_gradients {
    uint64_t struct_size;  ///< sizeof(aft_layer_gradients)
    /// Those of the inputs that the call has. Where the query is the key or the value input as well, its gradient has
    /// theirs.
    aft_gradient query;     ///< [B, n, H]
    aft_gradient key;       ///< [B, m, key_hidden]
    aft_gradient value;     ///< [B, m, value_hidden]
    float *query_weight;    ///< [P, H]
    float *query_bias;      ///< [P]
    float *key_weight;      ///< [P, key_hidden]
    float *key_bias;        ///< [P]
    float *value_weight;    ///< [P, value_hidden]
    float *value_bias;      ///< [P]
    float *project_weight;  ///< [H, P]
    float *project_bias;    ///< [H]
    /// That of aft_sight.position_bias, as in aft_core_gradients.
    aft_gradient given_bias;
    float *position_bias;  ///< [S, S]
} aft_layer_gradients;

/// Checks `config` and chooses the kernels. `options` may be null. AFT_ERROR_CONFIG for a config that
/// aft_layer_create() refuses, and for AFT_LAYER_CONV and AFT_LAYER_WKV, which have no gradients yet.
AFT_API aft_status aft_layer_training_create(const aft_config *config, const aft_layer_options *options,
                                             aft_layer_training **training);

/// Destroys the object. Null is allowed.
AFT_API void aft_layer_training_destroy(aft_layer_training *training);

/// How many floats aft_layer_training_forward() saves for the gradients of a call. `extents` are those of y. It
/// reads the extents of the inputs, and the mask.
AFT_API aft_status aft_layer_training_saved_size(const aft_layer_training *training, const aft_layer_inputs *inputs,
                                                 const int64_t extents[3], int64_t *size);

/// y = layer(inputs), as aft_layer_call() up to the order of sums, and what aft_layer_training_backward() needs.
/// - parameters: as in aft_weights_copy(), in the caller's memory. Decay and bonus aren't read.
/// - inputs: without kept sources.
/// - saved: as many floats as aft_layer_training_saved_size() says. It must overlap neither y nor what the call reads.
///
/// AFT_ERROR_SHAPE, AFT_ERROR_KERNEL.
AFT_API aft_status aft_layer_training_forward(const aft_layer_training *training, const aft_parameters *parameters,
                                              const aft_layer_inputs *inputs, const int64_t extents[3], float *y,
                                              const int64_t *y_strides, float *saved);

/// The gradients of a loss L with dy = dL/dy at a call and its `saved`. They overlap nothing else, and those of rows
/// that touch nothing are 0. extents and dy_strides are those of dy, [B, n, H]; its rows without a result aren't read.
/// The same bits for any number of threads. AFT_ERROR_SHAPE, whose message calls a gradient d and the name of its
/// tensor (dquery_weight); AFT_ERROR_KERNEL.
AFT_API aft_status aft_layer_training_backward(const aft_layer_training *training, const aft_parameters *parameters,
                                               const aft_layer_inputs *inputs, const int64_t extents[3],
                                               const float *dy, const int64_t *dy_strides, const float *saved,
                                               const aft_layer_gradients *gradients);

/// The config that it was made with. Set the struct_size of `config` before the call.
AFT_API aft_status aft_layer_training_config(const aft_layer_training *training, aft_config *config);

/// Bytes of memory that it keeps between calls as scratch. aft_layer_training_destroy() frees them.
AFT_API aft_status aft_layer_training_scratch_bytes(const aft_layer_training *training, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,readability-identifier-naming)
