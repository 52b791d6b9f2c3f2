#pragma once

/// @file
/// Training: results that save what their gradients need, and the gradients.

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
};

/// The weighted mean of a form without projections (Core), with its gradients. It has no weights: they change from step
/// to step, so that each call takes them.
///
///     CoreTraining core(config);
///     std::vector<float> saved(core.saved_size({B, n}, call.sight));
///     core.forward(parameters, call, y, {saved.data(), {saved.size()}});
///     core.backward(parameters, call, dy, {saved.data(), {saved.size()}}, gradients);
///
/// Right for every finite input, as Core is. Runs on the CPU. Thread-safe: calls may run side by side. There is no
/// gradient of the position bias yet. A form with a window takes memory for a bias of all pairs in each call.
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

    /// Core::forward() of the call, up to the last bits, and what backward() needs. y: [B, n, P]; saved:
    /// [saved_size()]. Both are overwritten fully, and overlap neither each other nor an input. Throws ShapeError.
    void forward(const CoreParameters &parameters, const CoreCall &call, TensorView<float, 3> y,
                 TensorView<float, 1> saved) const;

    /// The gradients of a loss L with dy = dL/dy, [B, n, P], at a call and its `saved`. Those of hidden sources are 0,
    /// whatever they hold, and so are those of targets without a result; what dy has there isn't read. The same bits
    /// for any number of threads. Throws ShapeError, whose text calls the gradients dquery, dkey and dvalue.
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

}  // namespace aft
