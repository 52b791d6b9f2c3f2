#include "mpi/shared_mean.h"

#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/state.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>

namespace aft {
namespace {

const LayerOptions on_cpu = {"", "cpu"};

/// Pieces of a local form before the own blocks, and as many after them: all processes but the neighbour, the rest of
/// the neighbour, and its near rows.
constexpr std::int64_t pieces_beside = 3;

/// Rows of a local form that are computed at a time, at least: fewer see fewer rows one by one, more take fewer calls.
constexpr std::int64_t least_block = 128;

template<typename T>
TensorView<T, 3> part_of(const TensorView<T, 3> &rows, std::int64_t first, std::int64_t count) {
    return {rows.data + first * rows.strides[1], {rows.extents[0], count, rows.extents[2]}, rows.strides};
}

LayerConfig of_core(const LayerConfig &config) {
    if (config.form.varies_by_channel() || config.form.takes_bias()) {
        throw ConfigError("layer " + std::string(name(config.form)) + " can't be shared among processes");
    }
    LayerConfig result = config;
    result.form = config.form.has_positions() ? config.form.with_given_bias() : config.form;
    return result;
}

std::vector<float> checked_bias(const std::vector<float> &bias, const LayerConfig &config, std::int64_t ranks) {
    if (!config.form.has_positions()) {
        return {};
    }
    const std::int64_t S = config.max_seq_len, size = static_cast<std::int64_t>(bias.size());
    if (size % S != 0 || (size != S * S && size / S > S / ranks)) {
        throw WeightsError("wbias has " + std::to_string(size) + " values, must have " + to_string({S, S}) +
                           ", or the rows of one of " + std::to_string(ranks) + " processes");
    }
    const auto is_refused = [](float w) { return !(w <= std::numeric_limits<float>::max()); };
    if (std::any_of(bias.begin(), bias.end(), is_refused)) {
        throw WeightsError("wbias has a value that is neither finite nor -inf");
    }
    return bias;
}

}  // namespace

KeysAndValues KeysAndValues::part(std::int64_t first, std::int64_t count) const {
    return {part_of(key, first, count), part_of(value, first, count)};
}

SharedMean::SharedMean(const LayerConfig &config, const std::vector<float> &position_bias,
                       const Communicator &communicator)
    : config_(config), communicator_(communicator), bias_(checked_bias(position_bias, config, communicator.ranks())),
      bias_rows_(static_cast<std::int64_t>(bias_.size()) / config.max_seq_len), core_(of_core(config), {}, on_cpu),
      pieces_({LayerForm{PositionBias::none}.without_gate(), 0, config.projected, 1}, on_cpu) {}

void SharedMean::check_rows(std::int64_t rows) const {
    if (!config_.form.has_positions()) {
        return;
    }
    const std::int64_t S = config_.max_seq_len;
    const int ranks = communicator_.ranks();
    if (rows > S / ranks) {
        throw ShapeError("x: seq is " + std::to_string(rows) + " in each of " + std::to_string(ranks) +
                         " processes, all must be 0 to max_seq_len " + std::to_string(S));
    }
    if (bias_rows_ != S && rows != bias_rows_) {
        throw ShapeError("x: seq is " + std::to_string(rows) + ", must be " + std::to_string(bias_rows_) +
                         ", the rows of position_bias");
    }
}

SharedMean::Call::Call(const SharedMean &mean, CallMemory &memory, std::int64_t batch, std::int64_t rows)
    : mean_(mean), memory_(memory), shard_(mean.shard(rows)), batch_(batch),
      slots_(mean.config_.form.has_positions() && !shard_.gathers ? 2 : 0),
      blocks_(std::max<std::int64_t>(rows / std::max(shard_.near, least_block), 1)),
      sources_(allocate("keys", "values", slots_ + shard_.before + rows + shard_.after)) {}

KeysAndValues SharedMean::Call::allocate(const char *key, const char *value, std::int64_t sources) const {
    const std::array<std::int64_t, 3> extents = {batch_, sources, mean_.config_.projected};
    return {memory_.on_host<float, 3>(key, extents), memory_.on_host<float, 3>(value, extents)};
}

KeysAndValues SharedMean::Call::own() const {
    return sources_.part(slots_ + shard_.before, shard_.rows);
}

/// One source that stands for others. Without any, it has no weight.
void SharedMean::Call::make_piece(const KeysAndValues &sources, const KeysAndValues &piece) const {
    mean_.pieces_.partial({}, {{}, sources.key, sources.value, {}}, piece.value, piece.key);
}

/// Those of `count` processes.
KeysAndValues SharedMean::Call::pieces(int first, int count) const {
    const auto [of_rank, of_number, of_sample, of_channel] = pieces_.strides;
    const TensorView<float, 3> keys(pieces_.data, {batch_, shard_.ranks, mean_.config_.projected},
                                    {of_sample, of_rank, of_channel});
    TensorView<float, 3> values = keys;
    values.data += of_number;
    return KeysAndValues{keys, values}.part(first, count);
}

void SharedMean::Call::prepare() {
    if (shard_.gathers) {
        return;
    }
    pieces_ = memory_.on_host<float, 4>("pieces", {shard_.ranks, 2, batch_, mean_.config_.projected});
    const TensorView<float, 3> key(pieces_.data + shard_.rank * pieces_.strides[0],
                                   {batch_, 1, mean_.config_.projected}),
        value(key.data + pieces_.strides[1], key.extents);
    make_piece(own(), {key, value});
    if (slots_ == 0) {
        return;
    }
    in_order_ = allocate("piece_keys", "piece_values", pieces_beside + blocks_ + pieces_beside);
    rest_ = allocate("rest_keys", "rest_values", 2);
    const std::int64_t size = batch_ * in_order_.key.strides[0];
    std::fill_n(in_order_.key.data, size, -std::numeric_limits<float>::infinity());  // nobody is there
    std::fill_n(in_order_.value.data, size, 0.0f);
    for (std::int64_t block = 0; block < blocks_; ++block) {
        const std::int64_t start = start_of(block);
        make_piece(own().part(start, start_of(block + 1) - start), in_order_.part(pieces_beside + block, 1));
    }
    make_piece(own().part(shard_.near, shard_.rows - shard_.near), rest_.part(0, 1));
    make_piece(own().part(0, shard_.rows - shard_.near), rest_.part(1, 1));
}

void SharedMean::Call::exchange() const {
    if (shard_.gathers) {
        exchange_rows();
        return;
    }
    mean_.communicator_.gather(pieces_.data, pieces_.strides[0]);
    if (shard_.near > 0) {
        exchange_with_neighbours();
    }
}

void SharedMean::Call::exchange_rows() const {
    std::vector<Communicator::Message> sent, received;
    for (int each = 0; each < shard_.ranks; ++each) {
        if (shard_.sees(shard_.rank, each)) {
            const KeysAndValues rows = sources_.part(each * shard_.rows, shard_.rows);
            received.insert(received.end(), {{each, rows.key}, {each, rows.value}});
        }
        if (shard_.sees(each, shard_.rank)) {
            sent.insert(sent.end(), {{each, own().key}, {each, own().value}});
        }
    }
    mean_.communicator_.exchange(sent, received);
}

void SharedMean::Call::exchange_with_neighbours() const {
    std::vector<Communicator::Message> sent, received;
    const std::int64_t near = shard_.near;
    for (const int side : {0, 1}) {
        const int each = shard_.rank + (side == 0 ? -1 : 1);
        if (each < 0 || each >= shard_.ranks) {
            continue;
        }
        if (shard_.sees(shard_.rank, each)) {
            const KeysAndValues rest = in_order_.part(side == 0 ? 1 : pieces_beside + blocks_ + 1, 1),
                                rows = sources_.part(side == 0 ? slots_ : slots_ + shard_.before + shard_.rows, near);
            received.insert(received.end(),
                            {{each, rest.key}, {each, rest.value}, {each, rows.key}, {each, rows.value}});
        }
        if (shard_.sees(each, shard_.rank)) {
            const KeysAndValues rest = rest_.part(side, 1), rows = own().part(side == 0 ? 0 : shard_.rows - near, near);
            sent.insert(sent.end(), {{each, rest.key}, {each, rest.value}, {each, rows.key}, {each, rows.value}});
        }
    }
    mean_.communicator_.exchange(sent, received);
}

void SharedMean::Call::forward(const TensorView<const float, 3> &query, const TensorView<float, 3> &y) const {
    if (shard_.gathers) {
        CoreCall call{query, sources_.key, sources_.value, {}};
        call.sight.position_bias = bias(0, shard_.rows, -shard_.before, sources_.key.extents[1]);
        mean_.core_.forward(call, y);
    } else if (slots_ > 0) {
        forward_in_blocks(query, y);
    } else if (shard_.is_causal) {
        forward_after_others(query, y);
    } else {
        const KeysAndValues all = pieces(0, shard_.ranks);
        mean_.core_.forward({query, all.key, all.value, {}}, y);
    }
}

/// The bias of some own rows as targets. The sources are the slots, and rows that begin `source` after the own rows do:
/// [B, targets, slots + sources], the same in all samples. 0 for the slots and outside the window.
TensorView<const float, 3> SharedMean::Call::bias(std::int64_t target, std::int64_t targets, std::int64_t source,
                                                  std::int64_t sources) const {
    const LayerConfig &config = mean_.config_;
    const std::int64_t S = config.max_seq_len, first = shard_.rank * shard_.rows, m = slots_ + sources;
    const float *rows = mean_.bias_.data() + ((mean_.bias_rows_ == S ? first : 0) + target) * S + first;
    if (!config.form.has_window()) {
        return {rows + source, {batch_, targets, m}, {0, S, 1}};
    }
    const std::int64_t window = std::min(config.window, S);
    const TensorView<float, 2> within = memory_.on_host<float, 2>("position_bias", {targets, m});
    std::fill_n(within.data, targets * m, 0.0f);
    for (std::int64_t i = 0; i < targets; ++i) {
        const std::int64_t from = std::max(source, target + i - window + 1),
                           to = std::min(source + sources, target + i + window);
        if (from < to) {
            std::copy(rows + i * S + from, rows + i * S + to, within.data + i * m + slots_ + from - source);
        }
    }
    return {within.data, {batch_, targets, m}, {0, m, 1}};
}

/// Blocks of own rows have as many rows as a window reaches, at least, so that it ends in the next one.
std::int64_t SharedMean::Call::start_of(std::int64_t block) const {
    return block * shard_.rows / blocks_;
}

/// The pieces of a local form beside the own blocks, but for those that have come from the neighbours.
void SharedMean::Call::make_others() const {
    const int neighbour = shard_.near > 0 ? 1 : 0, first_after = shard_.rank + 1 + neighbour;
    const std::int64_t after = pieces_beside + blocks_;
    make_piece(pieces(0, std::max(shard_.rank - neighbour, 0)), in_order_.part(0, 1));
    make_piece(sources_.part(slots_, shard_.before), in_order_.part(2, 1));
    make_piece(sources_.part(slots_ + shard_.before + shard_.rows, shard_.after), in_order_.part(after, 1));
    if (!shard_.is_causal && first_after < shard_.ranks) {
        make_piece(pieces(first_after, shard_.ranks - first_after), in_order_.part(after + 2, 1));
    }
}

/// A block sees one by one itself, the block before and the block after, or what is there of other processes. Two
/// pieces stand for all before and after these. They take the place of rows that no later block sees one by one.
void SharedMean::Call::forward_in_blocks(const TensorView<const float, 3> &query, const TensorView<float, 3> &y) const {
    make_others();
    const std::int64_t all = pieces_beside + blocks_ + pieces_beside, last = blocks_ - 1;
    for (std::int64_t block = 0; block <= last; ++block) {
        const std::int64_t start = start_of(block), end = start_of(block + 1);
        const std::int64_t first = block == 0 ? -shard_.before : start_of(block - 1);
        const std::int64_t beyond = block == last ? end + shard_.after : shard_.is_causal ? end : start_of(block + 2);
        const std::int64_t pieces_before = block == 0 ? pieces_beside - 1 : pieces_beside + block - 1;
        const std::int64_t pieces_after = shard_.is_causal ? 0
                                          : block == last  ? pieces_beside - 1
                                                           : pieces_beside + last - block - 1;
        const KeysAndValues sources = sources_.part(shard_.before + first, slots_ + beyond - first);
        make_piece(in_order_.part(0, pieces_before), sources.part(0, 1));
        make_piece(in_order_.part(all - pieces_after, pieces_after), sources.part(1, 1));
        const CallMemory::Mark mark = memory_.mark();
        CoreCall call{query.data ? part_of(query, start, end - start) : query, sources.key, sources.value, {}};
        call.sight.position_bias = bias(start, end - start, first, beyond - first);
        mean_.core_.forward(call, part_of(y, start, end - start));
        memory_.release(mark);
    }
}

/// The own rows in order, after one position that stands for all before.
void SharedMean::Call::forward_after_others(const TensorView<const float, 3> &query,
                                            const TensorView<float, 3> &y) const {
    if (shard_.rank == 0) {
        mean_.core_.forward({query, sources_.key, sources_.value, {}}, y);
        return;
    }
    const KeysAndValues before = allocate("before_key", "before_value", 1),
                        unused = allocate("no_query", "no_result", 1);
    make_piece(pieces(0, shard_.rank), before);
    std::fill_n(unused.key.data, batch_ * unused.key.strides[0], 0.0f);
    State state(mean_.core_.config(), batch_);
    mean_.core_.step(state, {unused.key, before.key, before.value, {}}, unused.value);
    mean_.core_.step(state, {query, sources_.key, sources_.value, {}}, y);
}

}  // namespace aft
