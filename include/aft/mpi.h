#pragma once

/// @file
/// A layer whose sequence is shared among processes, by MPI. It is a library of its own, aft::mpi, where the build has
/// AFT_MPI; <aft/aft.h> doesn't include this header.

#include <aft/config.h>
#include <aft/error.h>
#include <aft/standard_library.h>
#include <aft/tensor_view.h>
#include <aft/weights.h>

#include <mpi.h>

#include <cstdint>
#include <memory>

namespace aft {

/// A function of MPI failed, or another process of the communicator refuses what this one takes. what() has MPI's text,
/// or that of the first process that refuses, with its rank.
class MpiError : public Error {
public:
    using Error::Error;
};

/// A layer whose sequence is shared among the processes of a communicator, in the order of their ranks. Each process
/// has the same number of rows, t; those of rank r are the rows r t to r t + t - 1 of the sequence. The form is one of
/// full, simple, local and their causal forms, with any gate. It runs on the CPU.
///
/// A process projects its own rows only. It gets from the others, in floats, for B samples:
/// - AFTSimple: from each one, 2 B P: a source with the weight of all its rows (CoreTraining::partial());
/// - AFTLocal: the same, and from each neighbour that it sees the nearest window - 1 rows and a source for the rest,
///   2 B P window. If a window reaches beyond the neighbours, all rows, as AFTFull;
/// - AFTFull: from each one that it sees, all keys and values, 2 B P t.
///
/// Every process of the communicator must make the layer, call it and destroy it at the same time. A process that
/// refuses a call, or fails before the exchange, throws its own error; then all others throw MpiError, and none waits.
/// MPI must be initialised until the layer is destroyed. MPI_THREAD_FUNNELED is enough if the calls come from the
/// thread that initialised MPI: no other thread of the library calls MPI. One call at a time may use a layer.
class ShardedLayer {
public:
    /// Checks `config` and `weights`, which are those of the whole layer, the same in all processes; but position_bias
    /// may be [t, max_seq_len], the rows of this process alone, and then every call has t rows. Works on a duplicate of
    /// `communicator`.
    ///
    /// Throws ConfigError for another form, for inputs of keys or values of their own, and in all processes if their
    /// configs differ; WeightsError, ShapeError and KernelError as Layer does; MpiError.
    ShardedLayer(const LayerConfig &config, const Weights &weights, MPI_Comm communicator);
    ~ShardedLayer();
    /// A moved-from layer may only be destroyed or assigned to.
    ShardedLayer(ShardedLayer &&) noexcept;
    /// Frees what the layer had before.
    ShardedLayer &operator=(ShardedLayer &&) noexcept;

    /// y: the rows of this process of the layer's result over the whole sequence, up to the order of sums. x, y:
    /// [B, t, hidden], with the rules of Layer::forward() for strides and overlap. With a position bias, the whole
    /// sequence has at most max_seq_len rows.
    ///
    /// Throws ShapeError before y is written: for its own tensors, and in all processes if their batch or t differ.
    /// After any other error y is undefined. After an MpiError of a function of MPI, so is what the other processes do.
    void forward(TensorView<const float, 3> x, TensorView<float, 3> y) const;

    /// Bytes that a forward() of a shape (seq: t) sends from this process, each receiver counted. Before them, the
    /// processes agree on the shape, by 40 bytes each. Throws ShapeError if batch or seq is below 0.
    std::int64_t bytes_sent(const Shape &shape) const;

    /// The config that it was made with.
    const LayerConfig &config() const;

private:
    struct Implementation;
    class Call;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft
