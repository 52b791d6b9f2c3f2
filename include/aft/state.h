#pragma once

/// @file
/// The state of sequences that are computed in pieces.

#include <aft/config.h>
#include <aft/export.h>
#include <aft/safetensors.h>
#include <aft/standard_library.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace aft {

/// All that a causal layer keeps of the positions before: one state per sample of a batch, each at its own position.
/// Layer::step() and Core::step() read and update it. Per sample it has, in floats:
///
/// | form                | size                            |
/// |---------------------|---------------------------------|
/// | causal_simple, wkv  | 4 P                             |
/// | causal_local, conv  | 4 P + 2 (window - 1) P          |
/// | causal_full         | 2 max_seq_len P                 |
///
/// After a step of causal_full of at most 16 positions on the CPU, it has the exponentials of these, too: once more
/// 2 max_seq_len P, with P rounded up to 16.
/// It lies in the host's memory. A copy is independent of the original. Not thread-safe: one call at a time may use a
/// state. After a KernelError or a DeviceError of a step, it is what it was before.
class AFT_API State {
public:
    /// States at position 0 for `batch` sequences of a layer. Throws ConfigError for a form that isn't causal, or whose
    /// bias is given by each call; ShapeError for a batch below 0 or a state of more than 2^31 - 1 elements.
    State(const LayerConfig &config, std::int64_t batch);
    /// A copy, independent of the original.
    State(const State &other);
    /// Makes it a copy.
    State &operator=(const State &other);
    /// A moved-from state may only be destroyed or assigned to.
    State(State &&) noexcept;
    /// Frees what the state had before.
    State &operator=(State &&) noexcept;
    ~State();

    /// The number of sequences.
    std::int64_t batch() const;
    /// How many positions of a sequence it has seen. Throws ShapeError unless 0 <= sample < batch().
    std::int64_t position(std::int64_t sample) const;
    /// Sets a sequence back to position 0. Throws ShapeError as position() does.
    void reset(std::int64_t sample);
    /// Makes sequence `sample` a copy of `from_sample` of another state, which has an equal config. Throws ShapeError,
    /// ConfigError.
    void copy(std::int64_t sample, const State &from, std::int64_t from_sample);

    /// The state as tensors: write_safetensors() saves them.
    SafetensorsFile tensors() const;
    /// The inverse of tensors(). Throws WeightsError that lists all that doesn't fit `config`.
    static State from_tensors(const SafetensorsFile &file, const LayerConfig &config);

    /// The config that it was made for.
    const LayerConfig &config() const;

private:
    friend struct StateAccess;
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft
