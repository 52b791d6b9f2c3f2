#pragma once

/// @file
/// A layer.

#include <aft/config.h>
#include <aft/device.h>
#include <aft/export.h>
#include <aft/kernels.h>
#include <aft/standard_library.h>
#include <aft/tensor_view.h>
#include <aft/threads.h>
#include <aft/weights.h>

#include <cstddef>
#include <memory>

namespace aft {

/// One AFT layer with its weights:
///
///     Q, K, V = x Wq + bq, x Wk + bk, x Wv + bv      y = (sigmoid(Q) * A) Wo + bo
///
/// where A is, for every target t and channel, the mean of V over the sources t', weighted by exp(K[t'] + w[t, t'])
/// (full), the same with w = 0 for |t - t'| >= window (local), or by exp(K[t']) (simple).
/// A row of w that masks every source gives A = 0.
///
/// After fork(), the child may call the parent's layers on the CPU and make new ones, whatever other threads of the
/// parent were doing, unless one was in its first call of the library. Layers on other devices are the parent's alone.
class AFT_API Layer {
public:
    /// Checks config and weights, chooses the device and the kernels that may run, and prepares the weights for each of
    /// them, once; `weights` isn't kept. Position biases whose range is above max_bias_range, or with -inf entries, get
    /// a kernel that takes them. A device that nobody asked for and that fails, for want of memory say, is passed over.
    /// Throws ConfigError, WeightsError, KernelError, DeviceError for a device that was asked for, and ShapeError for a
    /// parameter of more than 2^31 - 1 elements.
    Layer(const LayerConfig &config, const Weights &weights, const LayerOptions &options = {});
    ~Layer();
    /// What is left of the other one may only be destroyed or assigned to.
    Layer(Layer &&) noexcept;
    /// The same; what the layer had before is freed.
    Layer &operator=(Layer &&) noexcept;

    /// y = layer(x).
    /// - x: [batch >= 0, seq in 0..max_seq_len, hidden] of float32, the channels contiguous (stride 1), rows and
    ///   samples at any positive stride that keeps them apart.
    /// - y: the same extents, the same rule for its strides; fully overwritten; must not overlap x.
    ///
    /// Where batch or seq is 0 nothing is done, and the data may be null. A layer on a GPU copies x there and y back,
    /// and returns when y is complete.
    /// Throws ShapeError before y is written; KernelError if the kernel fails because memory runs out, or because what
    /// it keeps between two stages is beyond 2^31 - 1 bytes: 4 x batch x seq x the larger of hidden and projected, seq
    /// in whole tiles (of 2 to 11 rows on a CPU, 32 or 64 on a GPU), channels in whole vectors (a smaller batch helps);
    /// DeviceError if the device fails, or has no memory left (y is undefined then). Thread-safe: any number of calls
    /// at a time. Allocates: at the first call of a shape, and when more calls run at a time than ever before; other
    /// calls reuse. The result has the same bits for any number of threads, and for a sample alone or in a batch.
    ///
    /// Kernels on a CPU round to nearest, keep denormals and trap no exception, whatever floating-point environment the
    /// caller has set; it is restored on return, its flags too. So is that of a caller who makes a layer or loads
    /// weights. On other devices denormals are the device's matter: CUDA kernels keep them in products and sums.
    void forward(TensorView<const float, 3> x, TensorView<float, 3> y) const;

    /// The same where x and y lie in the memory of the layer's CUDA device: nothing is copied, and nothing waits. The
    /// work is queued on `stream`, and y is complete when the stream has come to its end: read it from work on the same
    /// stream, or after synchronize(). Kernels of the layer use the device's primary context, as the CUDA runtime and
    /// PyTorch do. Scratch memory is kept between calls. Extents and strides as above. Throws ShapeError and
    /// DeviceError (a layer on another API; memory that isn't the device's; cudaStreamPerThread, which is another
    /// stream in every thread) before anything is queued, KernelError when a launch fails. Thread-safe.
    void forward(DeviceView<const float, 3> x, DeviceView<float, 3> y, Stream stream = nullptr) const;

    /// Waits until the device has done all that was queued on it. Throws DeviceError if some of it failed.
    void synchronize() const;

    /// Where the layer lives.
    const Device &device() const;

    /// The kernel that forward() runs for a shape; for an empty one, for which nothing runs, the kernel that the layer
    /// has for whatever no other is for. Throws ShapeError.
    const KernelInfo &kernel_for(const Shape &shape) const;

    /// What it computes, as it was given.
    const LayerConfig &config() const;

    /// Bytes of the host's memory that the layer keeps from call to call as scratch. They are freed with the layer.
    std::size_t scratch_bytes() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft
