#include "layer/composed.h"
#include "mpi/shared_mean.h"
#include "threads/float_environment.h"
#include "weights/parameters.h"

#include <aft/mpi.h>

#include <exception>
#include <optional>
#include <string>

namespace aft {

struct ShardedLayer::Implementation {
    Communicator communicator;
    LayerConfig config;
    std::optional<Linear> query = {}, key = {}, value = {}, output = {};
    std::optional<SharedMean> mean = {};
    ScratchPool scratch = {};

    void make(const Weights &weights) {
        check_config(config);
        const std::int64_t H = config.hidden, P = config.projected;
        if (key_hidden(config) != H || value_hidden(config) != H) {
            throw ConfigError("key_hidden and value_hidden must be hidden, " + std::to_string(H) +
                              ", where a sequence is shared among processes");
        }
        mean.emplace(config, weights.position_bias, communicator);
        LayerConfig without_bias = config;
        without_bias.form.bias = PositionBias::none;
        check_weights(weights, without_bias);
        const Plan plan = select(Composed::demands(without_bias, weights, nullptr), {"", "cpu"}).front();
        auto selection = plan.begin() + 1;  // the first is that of a mean
        key.emplace(*selection++, weights.key_weight, weights.key_bias, H, P, nullptr);
        value.emplace(*selection++, weights.value_weight, weights.value_bias, H, P, nullptr);
        if (config.form.has_query()) {
            query.emplace(*selection++, weights.query_weight, weights.query_bias, H, P, nullptr);
        }
        if (!weights.project_weight.empty()) {
            output.emplace(*selection++, weights.project_weight, weights.project_bias, P, H, nullptr);
        }
    }
};

/// One forward().
class ShardedLayer::Call {
public:
    /// All that a process does alone: checks, projections, and what others get.
    Call(Implementation &layer, const TensorView<const float, 3> &x, const TensorView<float, 3> &y)
        : layer_(layer), y_(y), memory_(nullptr, layer.scratch) {
        check_tensor("x", x, {"hidden", layer.config.hidden});
        check_tensor("y", y, {"hidden", layer.config.hidden});
        check_same_extents("y", y, x, "x");
        check_apart("y", y, "x", x);
        const auto [batch, rows, hidden] = x.extents;
        layer.mean->check_rows(rows);
        if (batch == 0 || rows == 0) {
            return;
        }
        mean_.emplace(*layer.mean, memory_, batch, rows);
        layer.key->run(memory_, x, mean_->own().key);
        layer.value->run(memory_, x, mean_->own().value);
        mean_->prepare();
        if (layer.query) {
            query_ = memory_.on_host<float, 3>("queries", {batch, rows, layer.config.projected});
            layer.query->run(memory_, x, query_);
        }
        means_ = layer.output ? memory_.on_host<float, 3>("means", {batch, rows, layer.config.projected}) : y;
    }

    /// With the other processes.
    void finish() {
        if (!mean_) {
            return;
        }
        mean_->exchange();
        mean_->forward(query_, means_);
        if (layer_.output) {
            layer_.output->run(memory_, means_, y_);
        }
    }

private:
    Implementation &layer_;
    const TensorView<float, 3> y_;
    CallMemory memory_;
    std::optional<SharedMean::Call> mean_;
    TensorView<float, 3> query_, means_;
};

ShardedLayer::ShardedLayer(const LayerConfig &config, const Weights &weights, MPI_Comm communicator)
    : implementation_(new Implementation{Communicator(communicator), config}) {
    const FloatEnvironment during;
    std::exception_ptr failure;
    try {
        implementation_->make(weights);
    } catch (...) {
        failure = std::current_exception();
    }
    const LayerForm &form = config.form;
    implementation_->communicator.agree<ConfigError>(failure, {{"form.bias", static_cast<int>(form.bias)},
                                                               {"form.reach", static_cast<int>(form.reach)},
                                                               {"form.gate", static_cast<int>(form.gate)},
                                                               {"hidden", config.hidden},
                                                               {"projected", config.projected},
                                                               {"max_seq_len", config.max_seq_len},
                                                               {"window", config.window}});
}

ShardedLayer::~ShardedLayer() = default;
ShardedLayer::ShardedLayer(ShardedLayer &&) noexcept = default;
ShardedLayer &ShardedLayer::operator=(ShardedLayer &&) noexcept = default;

void ShardedLayer::forward(TensorView<const float, 3> x, TensorView<float, 3> y) const {
    std::optional<Call> call;
    std::exception_ptr failure;
    try {
        call.emplace(*implementation_, x, y);
    } catch (...) {
        failure = std::current_exception();
    }
    const auto [batch, rows, hidden] = x.extents;
    implementation_->communicator.agree<ShapeError>(failure, {{"batch", batch}, {"seq", rows}});
    call->finish();
}

std::int64_t ShardedLayer::bytes_sent(const Shape &shape) const {
    check_shape(shape, 0, "");
    if (shape.batch == 0 || shape.seq == 0) {
        return 0;
    }
    return implementation_->mean->shard(shape.seq).rows_sent() * 2 * shape.batch * config().projected *
           static_cast<std::int64_t>(sizeof(float));
}

const LayerConfig &ShardedLayer::config() const {
    return implementation_->config;
}

}  // namespace aft
