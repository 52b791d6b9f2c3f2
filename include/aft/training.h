#pragma once

/// @file
/// Training: results that save what their gradients need, and the gradients. Trained parameters aren't kept between
/// calls.

#include <aft/call.h>
#include <aft/config.h>
#include <aft/export.h>
#include <aft/kernels.h>
#include <aft/layer.h>
#include <aft/standard_library.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace aft {

/// The trained parameters of a weighted mean, in one step of training.
struct CoreParameters {
    /// w: [S, S] with S = max_seq_len, of forms that have such a parameter (LayerForm::has_positions()). A stride of
    /// the rows above S is allowed. Finite, or -inf where a target doesn't see a source.
    TensorView<const float, 2> position_bias = {};
};

/// Where backward() writes gradients. One without data isn't computed.
struct CoreGradients {
    TensorView<float, 3> query = {};  ///< [B, n, P]
    TensorView<float, 3> key = {};    ///< [B, m, P]
    TensorView<float, 3> value = {};  ///< [B, m, P]
    /// That of Sight::position_bias, [B, n, m]: of each sample, or with a batch stride of 0 summed over all of them, of
    /// a bias that they share. 0 where a bias of -inf hides the source.
    TensorView<float, 3> given_bias = {};
    /// That of CoreParameters::position_bias, [S, S], summed over the samples; its rows may have a stride above S. 0
    /// for positions without a target or source, and outside the window.
    TensorView<float, 2> position_bias = {};
};

/// The weighted mean of a form without projections (Core), with its gradients. It has no weights: they change from step
/// to step, so that each call takes them.
///
///     CoreTraining core(config);
///     std::vector<float> saved(core.saved_size({B, n}, call.sight));
///     core.forward(parameters, call, y, {saved.data(), {saved.size()}});
///     core.backward(parameters, call, dy, {saved.data(), {saved.size()}}, gradients);
///
/// Right for every finite input, as Core is. Runs on the CPU. Thread-safe: calls may run side by side. A form with a
/// window takes memory for a bias of all pairs in calls with a mask of pairs, and where it is causal and the window is
/// more than 2/5 of the targets.
class AFT_API CoreTraining {
public:
    /// Chooses kernels as Core does. Throws ConfigError for a config that Core refuses, and for a form whose bias
    /// varies by channel (conv, wkv): it has no gradients yet.
    explicit CoreTraining(const LayerConfig &config, const LayerOptions &options = {});
    ~CoreTraining();
    /// A moved-from object may only be destroyed or assigned to.
    CoreTraining(CoreTraining &&) noexcept;
    /// Frees what the object had before.
    CoreTraining &operator=(CoreTraining &&) noexcept;

    /// How many floats forward() saves for the gradients of a call of B samples (batch) of n targets (seq): 4 B n P, or
    /// 0 where all targets have the same mean, which backward() computes again.
    std::int64_t saved_size(const Shape &shape, const Sight &sight = {}) const;

    /// Core::forward() of the call, and what backward() needs. y: [B, n, P]; saved: [saved_size()]. Both are
    /// overwritten fully, and overlap neither each other nor an input. y has the bits of Core::forward(), unless that
    /// takes the targets in order (causal_simple and causal_local, without a mask of pairs): then the sums are others.
    /// Throws ShapeError.
    void forward(const CoreParameters &parameters, const CoreCall &call, TensorView<float, 3> y,
                 TensorView<float, 1> saved) const;

    /// The mean A of each target and channel without the gate, and the logarithm of the sum of its weights,
    /// log sum_j exp(K[j] + w[j]): one source with this key and this value stands for all sources of the call. So a
    /// program can hold the sources in pieces: pieces side by side, as [B n, pieces, P], are the sources of a call of
    /// aft_simple with B n samples of one target, whose result is the mean over all of them.
    /// - mean, log_weight: [B, n, P], overwritten fully; they overlap neither each other nor an input. The query isn't
    ///   read. A target without a visible source or without a result has the mean 0 and the log weight -inf.
    ///
    /// Right for every finite input. A log weight is rounded to float32, and kept within its finite range: the sum of
    /// the weights that it stands for is off by up to 2^-24 |log_weight| of itself. Throws ShapeError.
    void partial(const CoreParameters &parameters, const CoreCall &call, TensorView<float, 3> mean,
                 TensorView<float, 3> log_weight) const;

    /// The gradients of a loss L with dy = dL/dy, [B, n, P], at a call and its `saved`. Those of hidden sources are 0,
    /// whatever they hold, and so are those of targets without a result; what dy has there isn't read. The same bits
    /// for any number of threads. Where a batch is too large for a kernel, it runs in parts, and gradients that are
    /// summed over the samples are the sums of the parts. Throws ShapeError, whose text calls the gradients dquery,
    /// dkey, dvalue, dgiven_bias and dposition_bias.
    void backward(const CoreParameters &parameters, const CoreCall &call, TensorView<const float, 3> dy,
                  TensorView<const float, 1> saved, const CoreGradients &gradients) const;

    /// The kernel of the gradients of calls without a mask of pairs.
    const KernelInfo &gradient_kernel() const;
    /// The config that it was made with.
    const LayerConfig &config() const;
    /// Bytes of memory that are kept between calls as scratch.
    std::size_t scratch_bytes() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

/// The trained parameters of a layer, in one step of training: the tensors of Weights. Rows may have a stride above
/// their length. A projection without a bias has none: it is 0. Without project_weight, the output is the gated mean.
struct LayerParameters {
    TensorView<const float, 2> query_weight = {};    ///< [P, H]; not read without a gate
    TensorView<const float, 1> query_bias = {};      ///< [P]; not read without a gate
    TensorView<const float, 2> key_weight = {};      ///< [P, key_hidden]
    TensorView<const float, 1> key_bias = {};        ///< [P]
    TensorView<const float, 2> value_weight = {};    ///< [P, value_hidden]
    TensorView<const float, 1> value_bias = {};      ///< [P]
    TensorView<const float, 2> project_weight = {};  ///< [H, P]
    TensorView<const float, 1> project_bias = {};    ///< [H]
    TensorView<const float, 2> position_bias = {};   ///< as in CoreParameters
};

/// Where LayerTraining::backward() writes gradients. One without data isn't computed. Those of parameters are summed
/// over the samples, and have no gaps but between rows.
struct LayerGradients {
    /// Those of the inputs that the call has. Where the query is the key or the value input as well, its gradient has
    /// theirs.
    TensorView<float, 3> query = {};           ///< [B, n, H]
    TensorView<float, 3> key = {};             ///< [B, m, key_hidden]
    TensorView<float, 3> value = {};           ///< [B, m, value_hidden]
    TensorView<float, 2> query_weight = {};    ///< [P, H]
    TensorView<float, 1> query_bias = {};      ///< [P]
    TensorView<float, 2> key_weight = {};      ///< [P, key_hidden]
    TensorView<float, 1> key_bias = {};        ///< [P]; 0, as no result depends on the bias of the keys
    TensorView<float, 2> value_weight = {};    ///< [P, value_hidden]
    TensorView<float, 1> value_bias = {};      ///< [P]
    TensorView<float, 2> project_weight = {};  ///< [H, P]
    TensorView<float, 1> project_bias = {};    ///< [H]
    TensorView<float, 3> given_bias = {};      ///< as in CoreGradients
    TensorView<float, 2> position_bias = {};   ///< as in CoreGradients
};

/// A layer with its gradients. It has no weights: they change from step to step, so that each call takes them.
///
///     LayerTraining layer(config);
///     std::vector<float> saved(layer.saved_size(call));
///     layer.forward(parameters, call, y, {saved.data(), {saved.size()}});
///     layer.backward(parameters, call, dy, {saved.data(), {saved.size()}}, gradients);
///
/// Right for every finite input. Runs on the CPU. Thread-safe: calls may run side by side.
class AFT_API LayerTraining {
public:
    /// Chooses kernels. Throws ConfigError for a config that Layer refuses, and for a form whose bias varies by channel
    /// (conv, wkv): it has no gradients yet.
    explicit LayerTraining(const LayerConfig &config, const LayerOptions &options = {});
    ~LayerTraining();
    /// A moved-from object may only be destroyed or assigned to.
    LayerTraining(LayerTraining &&) noexcept;
    /// Frees what the object had before.
    LayerTraining &operator=(LayerTraining &&) noexcept;

    /// How many floats forward() saves for the gradients of a call: query, key, value and gated mean, each as many as
    /// they are, and what CoreTraining saves. Reads extents and the mask.
    std::int64_t saved_size(const LayerCall &call) const;

    /// y = layer(call), [B, n, H], up to the order of sums as Layer::forward(), and what backward() needs: saved,
    /// [saved_size()]. Both are overwritten fully, and overlap neither each other nor an input. The call has no kept
    /// sources. Throws ShapeError.
    void forward(const LayerParameters &parameters, const LayerCall &call, TensorView<float, 3> y,
                 TensorView<float, 1> saved) const;

    /// The gradients of a loss L with dy = dL/dy, [B, n, H], at a call and its `saved`. Those of rows that touch
    /// nothing are 0, whatever they hold; what dy has in rows without a result isn't read. The same bits for any number
    /// of threads. Large batches run in parts as in CoreTraining::backward(). Throws ShapeError, whose text calls a
    /// gradient d and the name of its tensor: dquery, dquery_weight.
    void backward(const LayerParameters &parameters, const LayerCall &call, TensorView<const float, 3> dy,
                  TensorView<const float, 1> saved, const LayerGradients &gradients) const;

    /// The config that it was made with.
    const LayerConfig &config() const;
    /// Bytes of memory that are kept between calls as scratch.
    std::size_t scratch_bytes() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft
