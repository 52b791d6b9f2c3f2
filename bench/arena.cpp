#include "arena.h"

#include "part.h"
#include "training.h"

#include "layer/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace aft::bench {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The reference costs sources x channels exponentials a row, and keys and values of all positions of a sample: enough
// rows to meet every tile, few enough to be quick.
constexpr std::int64_t max_checked_rows = 16;
constexpr std::int64_t max_checked_positions = 8192;

// The first, the last and evenly spaced ones between them.
std::vector<std::int64_t> spread(std::int64_t extent, std::int64_t limit) {
    const std::int64_t count = std::min(extent, limit);
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i < count; ++i) {
        chosen.push_back(count == 1 ? 0 : i * (extent - 1) / (count - 1));
    }
    return chosen;
}

// The least distance that meets the first sample, the last one, and no more than the limit.
std::int64_t distance(std::int64_t batch, std::int64_t limit) {
    std::int64_t step = 1;
    while (batch > 1 && ((batch - 1) % step != 0 || (batch - 1) / step + 1 > limit)) {
        ++step;
    }
    return step;
}

// Every step-th sample.
template<typename T, std::size_t Rank>
TensorView<T, Rank> part(TensorView<T, Rank> tensor, std::int64_t step, std::int64_t count) {
    tensor.extents[0] = count;
    tensor.strides[0] *= step;
    return tensor;
}

template<typename Call>
Call part(Call call, std::int64_t step, std::int64_t count) {
    call.query = part(call.query, step, count);
    call.key = part(call.key, step, count);
    call.value = part(call.value, step, count);
    call.sight.position_bias = part(call.sight.position_bias, step, count);
    call.sight.lengths = part(call.sight.lengths, step, count);
    call.sight.mask = part(call.sight.mask, step, count);
    return call;
}

TensorView<const float, 3> positions(TensorView<const float, 3> x, std::int64_t first, std::int64_t count) {
    x.data += first * x.strides[1];
    x.extents[1] = count;
    return x;
}

std::int64_t targets(const BenchmarkProblem &problem) {
    return problem.piece ? problem.piece : problem.shape.seq;
}

Reference reference_of(const BenchmarkProblem &problem, const Weights &weights, const CallTensors &call,
                       std::int64_t step, std::int64_t samples, std::vector<std::int64_t> rows) {
    if (problem.operation == "linear") {
        return reference_projection(problem.config, weights, part(call.layer.query, step, samples), std::move(rows));
    }
    if (is_of_training(problem)) {
        const auto reference = is_projection(problem)       ? reference_of_projection_in_training
                               : problem.config.hidden != 0 ? reference_of_layer_in_training
                                                            : reference_of_mean_in_training;
        return reference(problem, weights, call);
    }
    if (problem.operation != "forward") {
        return reference_core(problem.config, weights, part(call.core, step, samples), std::move(rows));
    }
    for (std::int64_t &row : rows) {
        row += problem.shape.seq - targets(problem);
    }
    return reference_layer(problem.config, weights, part(call.layer, step, samples), std::move(rows));
}

}  // namespace

Arena::Arena(const BenchmarkProblem &problem, CudaDevice *cuda)
    : problem_(problem), weights_(make_weights(problem)), call_(make_call(problem)),
      extents_{problem.shape.batch, targets(problem),
               problem.operation == "forward" ? problem.config.hidden : problem.config.projected},
      y_(extents_[0] * extents_[1] * extents_[2]) {
    const std::int64_t batch = problem.shape.batch;
    sample_step_ = distance(batch, std::max<std::int64_t>(max_checked_positions / source_count(problem), 2));
    compared_samples_ = (batch - 1) / sample_step_ + 1;
    rows_ = spread(extents_[1], max_checked_rows);
    reference_ = reference_of(problem, weights_, call_, sample_step_, compared_samples_, rows_);
    if (cuda && problem.operation == "forward" && is_plain(problem)) {
        device_x_.emplace(*cuda, call_.query);
        device_y_.emplace(*cuda, y_.size());
    }
}

Subject Arena::training(const LayerOptions &options) {
    const auto subject = is_projection(problem_)       ? projection_in_training
                         : problem_.config.hidden != 0 ? layer_in_training
                                                       : mean_in_training;
    return subject(problem_, weights_, call_, options);
}

Subject Arena::kernel(const KernelInfo &kernel, const Device &device) {
    if (is_of_training(problem_)) {
        return training({kernel.id, device.id});
    }
    if (problem_.operation != "forward") {
        const auto alone = std::make_shared<Part>(problem_, weights_, call_, kernel, device);
        return {[alone] { alone->run(); }, {}, [this, alone] { alone->run_to(output()); }, true};
    }
    const auto layer = std::make_shared<const Layer>(problem_.config, weights_, LayerOptions{kernel.id, device.id});
    layer->kernel_for(problem_.shape);
    return plain_layer(layer);
}

Subject Arena::layer(const Device &device, const std::string &storage) {
    const LayerOptions options{"", device.id, storage};
    if (is_of_training(problem_)) {
        return training(options);
    }
    const auto layer = std::make_shared<const Layer>(problem_.config, weights_, options);
    if (problem_.piece) {
        return step(layer);
    }
    if (problem_.keeps_sources) {
        return kept_sources(layer);
    }
    // A layer on CUDA takes no tensors of the device if its mean needs rows before the first.
    if (is_plain(problem_) && (!device_x_ || rows_before(problem_.config) == 0)) {
        return plain_layer(layer);
    }
    const auto call = [this, layer] { layer->forward(call_.layer, output()); };
    return {call, {}, call};
}

Subject Arena::plain_layer(const std::shared_ptr<const Layer> &layer) {
    if (!device_x_) {
        const auto call = [this, layer] { layer->forward(input(), output()); };
        return {call, {}, call};
    }
    const auto call = [this, layer] {
        layer->forward(DeviceView<const float, 3>{{device_x_->data(), input().extents}},
                       DeviceView<float, 3>{{device_y_->data(), extents_}});
    };
    const auto finish = [layer] { layer->synchronize(); };
    const auto to_arena = [this, call, finish] {
        device_y_->upload(y_);
        call();
        finish();
        device_y_->download(y_);
    };
    return {call, finish, to_arena, true};
}

// The state goes through the positions before once. Each call then is at the same position: what the state sums may
// be of more sources, but takes the same time.
Subject Arena::step(const std::shared_ptr<const Layer> &layer) {
    const auto [batch, count, hidden] = extents_;
    const std::int64_t before = problem_.shape.seq - count;
    const auto state = std::make_shared<State>(layer->config(), batch);
    if (before > 0) {
        std::vector<float> y(batch * before * hidden);
        layer->step(*state, positions(input(), 0, before), {y.data(), {batch, before, hidden}});
    }
    const TensorView<const float, 3> x = positions(input(), before, count);
    const auto call = [this, layer, state, x, before] {
        std::vector<std::int64_t> &at = StateAccess::of(*state).positions;
        std::fill(at.begin(), at.end(), before);
        layer->step(*state, x, output());
    };
    return {call, {}, call};
}

Subject Arena::kept_sources(const std::shared_ptr<const Layer> &layer) {
    const auto sources = std::make_shared<const Sources>(layer->sources(call_.layer.key, call_.layer.value));
    LayerCall kept;
    kept.query = input();
    kept.sources = sources.get();
    kept.sight = call_.layer.sight;
    const auto call = [this, layer, sources, kept] { layer->forward(kept, output()); };
    return {call, {}, call};
}

double Arena::work() const {
    return aft::work(problem_, call_.lengths);
}

double Arena::bytes_of_step(const std::string &storage) const {
    State state(problem_.config, problem_.shape.batch);
    const StateValues &kept = StateAccess::of(state);
    std::size_t floats = kept.sums.size() + kept.keys.size() + kept.values.size(), weights = 0;
    for (const std::vector<float> *each :
         {&weights_.query_bias, &weights_.key_bias, &weights_.value_bias, &weights_.project_bias}) {
        floats += each->size();
    }
    for (const std::vector<float> *each :
         {&weights_.query_weight, &weights_.key_weight, &weights_.value_weight, &weights_.project_weight}) {
        weights += each->size();
    }
    const std::size_t of_weight = storage == "int8" ? 1 : storage == "bfloat16" ? 2 : sizeof(float);
    return static_cast<double>(floats * sizeof(float) + weights * of_weight);
}

std::vector<float> Arena::output_of(const Subject &subject, bool &all_finite) {
    std::fill(y_.begin(), y_.end(), std::numeric_limits<float>::quiet_NaN());
    subject.to_arena();
    all_finite = std::all_of(y_.begin(), y_.end(), [](float value) { return std::isfinite(value); });
    std::vector<float> compared;
    for (std::int64_t i = 0; i < compared_samples_; ++i) {
        for (const std::int64_t row : rows_) {
            const auto first = y_.begin() + (i * sample_step_ * extents_[1] + row) * extents_[2];
            compared.insert(compared.end(), first, first + extents_[2]);
        }
    }
    return compared;
}

void Arena::check(const Subject &subject, double allowed, double &max_error, std::string &failure) {
    bool all_finite = false;
    const std::vector<float> actual = subject.results ? subject.results(all_finite) : output_of(subject, all_finite);
    double largest_error = 0, largest_output = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = std::abs(actual[i] - reference_.output[i]);
        largest_error = std::max(largest_error, std::isnan(error) ? infinity : error);
        largest_output = std::max(largest_output, std::abs(reference_.output[i]));
    }
    max_error = largest_error / largest_output;
    const double in_tolerances = error_in_tolerances(reference_, actual);
    if (!(in_tolerances <= allowed)) {
        failure = fmt::format("WRONG: the error is {:.3g} times the tolerance", in_tolerances);
    } else if (!all_finite) {
        failure = "WRONG: an output that isn't compared isn't a number";
    }
}

}  // namespace aft::bench
