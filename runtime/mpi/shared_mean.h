#pragma once

#include "devices/call_memory.h"
#include "mpi/communicator.h"
#include "mpi/shard.h"

#include <aft/core.h>
#include <aft/training.h>
#include <aft/weights.h>

#include <cstdint>
#include <vector>

namespace aft {

/// The keys and values of sources, [B, sources, P] each.
struct KeysAndValues {
    TensorView<float, 3> key, value;

    KeysAndValues part(std::int64_t first, std::int64_t count) const;
};

/// The weighted mean of a form over sources that processes share.
class SharedMean {
public:
    class Call;

    /// Throws ConfigError for a form that can't be shared, WeightsError for a position bias that doesn't fit.
    SharedMean(const LayerConfig &config, const std::vector<float> &position_bias, const Communicator &communicator);

    Shard shard(std::int64_t rows) const {
        return {config_, communicator_.rank(), communicator_.ranks(), rows};
    }
    /// Throws ShapeError for more rows of a process than the position bias has.
    void check_rows(std::int64_t rows) const;

private:
    const LayerConfig config_;
    const Communicator &communicator_;
    const std::vector<float> bias_;  // [rows, S]
    const std::int64_t bias_rows_;   // S: of the whole sequence, else of this process
    const Core core_;                // with the bias of each call
    const CoreTraining pieces_;
};

/// The mean of this process's rows.
class SharedMean::Call {
public:
    Call(const SharedMean &mean, CallMemory &memory, std::int64_t batch, std::int64_t rows);

    /// Where the keys and values of the own rows are to be.
    KeysAndValues own() const;
    /// Makes of them what other processes get.
    void prepare();
    /// Collective.
    void exchange() const;
    /// query, y: [B, t, P]; without a gate, there is no query.
    void forward(const TensorView<const float, 3> &query, const TensorView<float, 3> &y) const;

private:
    KeysAndValues allocate(const char *key, const char *value, std::int64_t sources) const;
    KeysAndValues pieces(int first, int count) const;
    void make_piece(const KeysAndValues &sources, const KeysAndValues &piece) const;
    void exchange_rows() const;
    void exchange_with_neighbours() const;
    TensorView<const float, 3> bias(std::int64_t target, std::int64_t targets, std::int64_t source,
                                    std::int64_t sources) const;
    std::int64_t start_of(std::int64_t block) const;
    void make_others() const;
    void forward_in_blocks(const TensorView<const float, 3> &query, const TensorView<float, 3> &y) const;
    void forward_after_others(const TensorView<const float, 3> &query, const TensorView<float, 3> &y) const;

    const SharedMean &mean_;
    CallMemory &memory_;
    const Shard shard_;
    const std::int64_t batch_, slots_, blocks_;
    KeysAndValues sources_;        // room for `slots_` pieces, rows before the own ones, those, rows after them
    TensorView<float, 4> pieces_;  // [ranks, 2, B, P]: key and value that stand for each process
    KeysAndValues rest_;           // that stands for what the neighbours before and after don't see one by one
    KeysAndValues in_order_;       // pieces of a local form: others, rest and near rows before; the own blocks; after
};

}  // namespace aft
