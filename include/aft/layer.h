#pragma once

/// @file
/// A layer.

#include <aft/call.h>
#include <aft/config.h>
#include <aft/device.h>
#include <aft/export.h>
#include <aft/kernels.h>
#include <aft/standard_library.h>
#include <aft/state.h>
#include <aft/tensor_view.h>
#include <aft/threads.h>
#include <aft/weights.h>

#include <cstddef>
#include <memory>

namespace aft {

/// Sources of a layer that are kept for many calls: their keys and values, on the layer's device. On the CPU, also the
/// exponentials of the keys and their products with the values, for calls of up to 16 targets: 4 m P floats a sample.
/// Layer::sources() makes them. Thread-safe to read. They must not outlive the layer.
class AFT_API Sources {
public:
    ~Sources();
    /// Moved-from sources may only be destroyed or assigned to.
    Sources(Sources &&) noexcept;
    /// Frees what the sources had before.
    Sources &operator=(Sources &&) noexcept;

    std::int64_t batch() const;  ///< B
    std::int64_t count() const;  ///< m

private:
    friend class Layer;
    struct Implementation;
    explicit Sources(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

/// One AFT layer with its weights:
///
///     Q, K, V = x Wq + bq, x Wk + bk, x Wv + bv      y = (gate(Q) * A) Wo + bo
///
/// A[t, c] is the mean of V[t', c] over the sources t'. Its weights are exp(K[t', c] + w[t, t']), where w is the
/// position bias of the layer's form (PositionBias). A is 0 where w masks every source of a target.
///
/// After fork(), the child may call the parent's layers on the CPU and make new ones. Other threads of the parent may
/// be in calls at the time of the fork, except in their first call of the library. The child can't use other devices
/// once the parent has looked for them: DeviceError. A parent that has used such a device should have its children end
/// by _exit(), since some drivers wait at exit() for threads that a child doesn't have.
class AFT_API Layer {
public:
    /// Checks `config` and `weights`, chooses the device and the kernels that may run, and prepares the weights for
    /// these kernels once. On the CPU, kernels share the weights. The layer keeps no reference to `weights`; a layer
    /// with kernels of `forward` keeps a copy, in the host's memory, until its first call that they can't serve. If a
    /// row of the position bias has a range above max_bias_range or a -inf, the layer runs on a kernel with
    /// any_bias_range. If an automatically chosen device fails (out of memory, for example), the next one is tried.
    ///
    /// Throws ConfigError, WeightsError and KernelError; DeviceError if a named device can't be used; ShapeError for a
    /// parameter of more than 2^31 - 1 elements.
    Layer(const LayerConfig &config, const Weights &weights, const LayerOptions &options = {});
    ~Layer();
    /// A moved-from layer may only be destroyed or assigned to.
    Layer(Layer &&) noexcept;
    /// Frees what the layer had before. A moved-from layer may only be destroyed or assigned to.
    Layer &operator=(Layer &&) noexcept;

    /// y = layer(x).
    /// - x: [batch >= 0, seq in 0..max_seq_len, hidden] of float32. The channels are contiguous (stride 1). Rows and
    ///   samples may have any positive stride that keeps them apart.
    /// - y: the extents of x, with the same rule for its strides. The call overwrites it fully. It must not overlap x.
    ///
    /// If batch or seq is 0, the call does nothing, and the data may be null. A layer on a GPU copies x to the device
    /// and y back. The call returns when y is complete.
    ///
    /// A batch runs in parts where an intermediate result of all samples would have more than 2^31 - 1 bytes, or a
    /// tensor more elements. An intermediate result has 4 x batch x seq x the larger of hidden and projected, with seq
    /// in whole tiles (2 to 11 rows on a CPU, 32 or 64 on a GPU) and channels in whole vectors.
    ///
    /// Throws ShapeError before it writes y. Throws KernelError if the kernel runs out of memory, or if a sample alone
    /// is too large; a shorter sequence helps. Throws DeviceError if the device fails or runs out of memory. After a
    /// KernelError or a DeviceError, y is undefined.
    ///
    /// Thread-safe: any number of calls may run at a time. Allocates at the first call of a shape, and when more calls
    /// run at a time than ever before. Other calls reuse that memory. The result has the same bits for any number of
    /// threads, and for a sample alone or in a batch.
    ///
    /// Kernels on a CPU round to nearest, keep denormals and trap no exception, whatever floating-point environment the
    /// caller has set. The call restores the caller's environment, including its flags; so do the constructor and the
    /// functions that load weights. On other devices, the device decides about denormals: CUDA kernels keep them in
    /// products and sums.
    void forward(TensorView<const float, 3> x, TensorView<float, 3> y) const;

    /// y = layer(call) in every form: other inputs for keys and values, a bias of the call, lengths, masks.
    /// - query: [B, n, hidden], key: [B, m, key_hidden], value: [B, m, value_hidden], y: [B, n, hidden]. Strides are as
    ///   in the other forward(), and every input may have stride 0 over the samples. n and m are 0..max_seq_len if
    ///   the form has a position bias [S, S].
    /// - Causal forms see the sources j <= i + m - n: the last target is at the last source.
    ///
    /// conv and wkv take masks of sources, not of pairs. Throws ShapeError before it writes y, and as the other
    /// forward(). Thread-safe. Without key, value and sight it is forward(call.query, y).
    void forward(const LayerCall &call, TensorView<float, 3> y) const;

    /// Computes the keys and values of sources once, for calls with LayerCall::sources. Shapes as in forward().
    Sources sources(TensorView<const float, 3> key, TensorView<const float, 3> value = {}) const;

    /// The next positions of every sequence of a state: y = layer(x), where targets also see all positions before.
    /// - x, y: [state.batch(), n, hidden]. lengths: [B] of 0..n: how many of them sequence b has; y is 0 in its other
    ///   rows. Without data, every sequence has n.
    /// A sequence may come in pieces of any sizes; the result is that of one forward() over all of it, up to the order
    /// of sums. Throws ShapeError, before anything changes, if a position would pass max_seq_len of a form with a
    /// position bias, and ConfigError if the state's config differs from the layer's. The second step of a shape
    /// allocates nothing; of causal_full, the second one at a position.
    void step(State &state, TensorView<const float, 3> x, TensorView<float, 3> y,
              TensorView<const std::int64_t, 1> lengths = {}) const;

    /// y = layer(x) for tensors in the memory of the layer's CUDA device. The call copies nothing and waits for
    /// nothing: it queues the work on `stream`. Read y in later work on the same stream, or after synchronize(). The
    /// layer's kernels use the device's primary context, as the CUDA runtime and PyTorch do. The layer keeps scratch
    /// memory between calls. The rules for extents and strides are those of the other forward().
    ///
    /// Throws ShapeError and DeviceError before it queues anything. DeviceError means: the layer is on another API, the
    /// memory isn't the device's, or the stream is cudaStreamPerThread, which is another stream in every thread. Throws
    /// KernelError when a launch fails. Thread-safe.
    void forward(DeviceView<const float, 3> x, DeviceView<float, 3> y, Stream stream = nullptr) const;

    /// Waits until the device has done all queued work. Throws DeviceError if some of it failed.
    void synchronize() const;

    /// The device that the layer lives on.
    const Device &device() const;

    /// The kernel that forward() runs for a shape. An empty shape runs none; for it, this is the kernel for the shapes
    /// that no other kernel of the layer is for. Throws ShapeError.
    const KernelInfo &kernel_for(const Shape &shape) const;

    /// The config that the layer was made with.
    const LayerConfig &config() const;

    /// Bytes of host memory that the layer keeps between calls as scratch. The destructor frees them.
    std::size_t scratch_bytes() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft
