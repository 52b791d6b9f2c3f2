#pragma once

/// @file
/// The weighted mean of a layer without projections.

#include <aft/call.h>
#include <aft/config.h>
#include <aft/device.h>
#include <aft/export.h>
#include <aft/kernels.h>
#include <aft/standard_library.h>
#include <aft/state.h>
#include <aft/weights.h>

#include <cstddef>
#include <memory>

namespace aft {

/// The weighted mean of a form, without projections:
///
///     y[b, i, c] = gate(Q[b, i, c]) sum_j exp(K[b, j, c] + w[b, i, j]) V[b, j, c] / sum_j exp(K[b, j, c] + w[b, i, j])
///
/// over the sources j that target i sees. Right for every finite input: no range of keys or biases is too large. Values
/// are summed before the division, so that sums of m of them must stay within float32.
class AFT_API Core {
public:
    /// Checks `config`, whose channels are `projected` (hidden isn't read), and the parameters of the position bias
    /// (position_bias, or decay and bonus; the others aren't read), and chooses the device and the kernels. Throws as
    /// Layer's constructor does.
    Core(const LayerConfig &config, const Weights &weights = {}, const LayerOptions &options = {});
    ~Core();
    /// A moved-from core may only be destroyed or assigned to.
    Core(Core &&) noexcept;
    /// Frees what the core had before.
    Core &operator=(Core &&) noexcept;

    /// y: [B, n, P], overwritten fully; it must overlap no input. Lengths are those of the sources. A causal form whose
    /// targets are as many as the sources has these lengths for both: there y is 0 in the rows from lengths[b] on, and
    /// what query holds there touches nothing. Strides, empty extents, bits, environment, threads and errors are those
    /// of Layer::forward().
    void forward(const CoreCall &call, TensorView<float, 3> y) const;

    /// The next n positions of every sequence of a state; see Layer::step(). The sight may have lengths only.
    void step(State &state, const CoreCall &call, TensorView<float, 3> y) const;

    /// The device that it lives on.
    const Device &device() const;
    /// The kernel that forward() runs for n targets and m sources without a mask.
    const KernelInfo &kernel_for(std::int64_t targets, std::int64_t sources) const;
    /// The config that it was made with.
    const LayerConfig &config() const;
    /// Bytes of host memory that are kept between calls as scratch.
    std::size_t scratch_bytes() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft
