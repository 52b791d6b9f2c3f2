#include "layer/composed.h"

#include "layer/parts.h"
#include "weights/parameters.h"

#include <aft/error.h>

#include <algorithm>
#include <array>

namespace aft {
namespace {

/// For a dense tensor [B, rows, channels] on the host.
void clear_rows_before(const Tensor &tensor, std::int64_t end) {
    for (std::int64_t b = 0; b < tensor.extents[0]; ++b) {
        std::fill_n(static_cast<float *>(tensor.data) + b * tensor.strides[0], end * tensor.strides[1], 0.0f);
    }
}

}  // namespace

Demand Linear::demand(std::int64_t inputs, std::int64_t outputs) {
    LayerConfig config;
    config.hidden = inputs;
    config.projected = outputs;
    config.max_seq_len = max_elements;
    return {"linear", config};
}

Linear::Linear(const Selection &selection, const std::vector<float> &weight, const std::vector<float> &bias,
               std::int64_t inputs, std::int64_t outputs, const DeviceContext *device)
    : kernels_(
          selection,
          {{{"weight", weight.data(), {outputs, inputs}}, {"b", bias.empty() ? nullptr : bias.data(), {outputs}}}, {}},
          [&](const Candidate &candidate) {
              const MinimumExtents &minimum = candidate.kernel->info.minimum;
              const TensorView<float, 3> x(nullptr, {minimum.batch, minimum.seq, inputs}),
                  y(nullptr, {minimum.batch, minimum.seq, outputs});
              return std::vector<Operand>{{"x", x}, {"y", y}};
          },
          device) {}

/// Rows are computed one by one, so that joined samples keep their bits. The kernel is that of one sample.
void Linear::run(CallMemory &memory, Tensor x, Tensor y) const {
    const PreparedKernel &kernel = kernels_.kernel_for({x.extents[0], x.extents[1]});
    Tensor joined_x = x, joined_y = y;
    if (join_samples(joined_x) && join_samples(joined_y)) {
        x = joined_x;
        y = joined_y;
    }
    kernel.call({{"x", x}, {"y", y}}, memory);
}

std::vector<Demand> Composed::demands(const LayerConfig &config, const Weights &weights, const KernelRow *named) {
    const std::int64_t H = config.hidden, P = config.projected;
    std::vector<Demand> result = {Mean::demand(config, named), Linear::demand(key_hidden(config), P),
                                  Linear::demand(value_hidden(config), P)};
    if (config.form.has_query()) {
        result.push_back(Linear::demand(H, P));
    }
    if (!weights.project_weight.empty()) {
        result.push_back(Linear::demand(P, H));
    }
    return result;
}

Composed::Composed(const LayerConfig &config, const Weights &weights, const Plan &plan, const DeviceContext *device)
    : config_(config), context_(device), mean_(config, weights, plan.front(), device) {
    const std::int64_t H = config.hidden, P = config.projected;
    auto selection = plan.begin() + 1;
    key_.emplace(*selection++, weights.key_weight, weights.key_bias, key_hidden(config), P, device);
    value_.emplace(*selection++, weights.value_weight, weights.value_bias, value_hidden(config), P, device);
    if (config.form.has_query()) {
        query_.emplace(*selection++, weights.query_weight, weights.query_bias, H, P, device);
    }
    if (!weights.project_weight.empty()) {
        output_.emplace(*selection++, weights.project_weight, weights.project_bias, P, H, device);
    }
}

Composed::Call Composed::Call::part(std::int64_t first, std::int64_t count) const {
    Call result = *this;
    result.shape.batch = count;
    result.query = part_of(query, first, count);
    result.key = part_of(key, first, count);
    result.value = part_of(value, first, count);
    result.first_sample += first;
    return result;
}

std::int64_t Composed::least_batch(Way way) const {
    std::int64_t least = mean_.least_batch(way);
    for (const std::optional<Linear> *linear : {&key_, &value_, &query_, &output_}) {
        least = std::max(least, *linear ? (*linear)->least_batch() : 1);
    }
    return least;
}

std::int64_t Composed::least_batch_of_steps() const {
    return least_batch(mean_.way_of_steps());
}

/// `into` is dense, [B, before + m, P] with one row at least. On a device, no kernel can begin within it, so that x
/// gets as many rows before.
void Composed::project_sources(CallMemory &memory, const Linear &linear, TensorView<const float, 3> x,
                               std::int64_t before, const Tensor &into) const {
    const auto [B, m, H] = x.extents;
    if (memory.is_on_host()) {
        clear_rows_before(into, m == 0 ? into.extents[1] : before);
        if (m > 0) {
            linear.run(memory, x, rows_from(into, before));
        }
        return;
    }
    if (before == 0 && m > 0) {
        linear.run(memory, memory.input("x", x), into);
        return;
    }
    if (memory.is_queued()) {
        throw DeviceError("layer " + std::string(name(config_.form)) + " takes tensors in the host's memory only");
    }
    const std::int64_t rows = into.extents[1];
    const TensorView<float, 3> padded = memory.on_host<float, 3>("x", {B, rows, H});
    for (std::int64_t b = 0; b < B; ++b) {
        float *sample = padded.data + b * rows * H;
        std::fill_n(sample, (m == 0 ? rows : before) * H, 0.0f);
        for (std::int64_t t = 0; t < m; ++t) {
            std::copy_n(x.data + b * x.strides[0] + t * x.strides[1], H, sample + (before + t) * H);
        }
    }
    linear.run(memory, memory.send("x", padded), into);
}

void Composed::forward(CallMemory &memory, Way way, const Call &call, const Sight &sight,
                       TensorView<float, 3> y) const {
    const auto [B, n, m] = call.shape;
    const std::int64_t P = config_.projected, before = mean_.rows_before(way);
    const Tensor output = memory.output("y", y);
    Mean::Call of_mean;
    of_mean.shape = call.shape;
    if (call.sources) {
        of_mean.key = call.sources->key.tensor();
        of_mean.value = call.sources->value.tensor();
        if (memory.is_on_host()) {
            of_mean.key = of_mean.key.part(0, call.first_sample, B);
            of_mean.value = of_mean.value.part(0, call.first_sample, B);
        }
        of_mean.exponentials = call.sources->exponentials.get();
        of_mean.first_sample = call.first_sample;
        if (const std::int64_t extra = call.sources->before - before; extra > 0) {
            of_mean.key = rows_from(of_mean.key, extra);
            of_mean.value = rows_from(of_mean.value, extra);
        }
    } else {
        const std::array<std::int64_t, 3> extents = {B, before + std::max<std::int64_t>(m, 1), P};
        of_mean.key = memory.temporary("keys", extents);
        of_mean.value = memory.temporary("values", extents);
        project_sources(memory, *key_, call.key, before, of_mean.key);
        project_sources(memory, *value_, call.value, before, of_mean.value);
    }
    if (query_) {
        of_mean.query = memory.temporary<3>("queries", {B, n, P});
        query_->run(memory, memory.input("query", call.query), of_mean.query);
    }
    of_mean.y = output_ ? memory.temporary<3>("means", {B, n, P}) : output;
    mean_.forward(memory, way, of_mean, sight);
    if (output_) {
        output_->run(memory, of_mean.y, output);
    }
    memory.fetch(output);
}

/// All intermediate results are on the host, where the state is.
void Composed::step(CallMemory &memory, StateValues &state, std::int64_t first, TensorView<const float, 3> x,
                    TensorView<float, 3> y, TensorView<const std::int64_t, 1> lengths) const {
    const std::int64_t B = x.extents[0], n = x.extents[1], P = config_.projected, before = rows_before(config_);
    const auto project = [&](const Linear &linear, const TensorView<const float, 3> &from, TensorView<float, 3> to) {
        const CallMemory::Mark mark = memory.mark();
        const Tensor result = memory.output("y", to);
        linear.run(memory, memory.send("x", from), result);
        memory.fetch(result);
        memory.release(mark);
    };
    const auto after = [&](TensorView<float, 3> rows) {
        return TensorView<float, 3>(rows.data + before * P, {B, n, P}, rows.strides);
    };
    const TensorView<float, 3> keys = memory.on_host<float, 3>("keys", {B, before + n, P}),
                               values = memory.on_host<float, 3>("values", {B, before + n, P});
    mean_.recall(state, first, keys, values);
    project(*key_, x, after(keys));
    project(*value_, x, after(values));
    Mean::Step step;
    step.first_sample = first;
    step.lengths = lengths;
    step.key = keys;
    step.value = values;
    if (query_) {
        const TensorView<float, 3> queries = memory.on_host<float, 3>("queries", {B, n, P});
        project(*query_, x, queries);
        step.query = queries;
    }
    step.sums = memory.on_host<float, 3>("next_state", {B, 4, P});
    step.y = output_ ? memory.on_host<float, 3>("means", {B, n, P}) : y;
    mean_.step(memory, state, step);
    if (output_) {
        project(*output_, step.y, y);
        clear_rows_beyond(lengths, y);
    }
    mean_.keep(state, step);
}

std::unique_ptr<const KeptSources> Composed::keep(ScratchPool &scratch, const void *layer,
                                                  TensorView<const float, 3> key,
                                                  TensorView<const float, 3> value) const {
    const std::int64_t B = key.extents[0], m = key.extents[1], before = rows_before(config_);
    const std::int64_t rows = before + std::max<std::int64_t>(m, 1), P = config_.projected;
    // On a device, the tensor has no parts.
    if (rows > max_elements / P || (context_ && B > max_elements / (rows * P))) {
        throw KernelError("keys of " + std::to_string(B) + " samples of " + std::to_string(rows) + " rows of " +
                          std::to_string(P) + " channels are too many to keep");
    }
    const std::vector<std::int64_t> extents = {B, rows, P};
    std::unique_ptr<KeptSources> result(new KeptSources{
        layer, B, m, before, {"keys", extents, nullptr, context_}, {"values", extents, nullptr, context_}});
    if (B > 0) {
        const Tensor keys = result->key.tensor(), values = result->value.tensor();
        in_parts(B, context_ ? B : std::max(key_->least_batch(), value_->least_batch()),
                 [&](std::int64_t first, std::int64_t count) {
                     CallMemory memory(context_, scratch);
                     project_sources(memory, *key_, part_of(key, first, count), before,
                                     context_ ? keys : keys.part(0, first, count));
                     project_sources(memory, *value_, part_of(value, first, count), before,
                                     context_ ? values : values.part(0, first, count));
                     memory.wait();
                 });
        result->exponentials = mean_.keep_exponentials(scratch, keys, values);
    }
    return result;
}

}  // namespace aft
