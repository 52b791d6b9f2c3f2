#include "arena.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace aft::bench {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The reference costs seq x channels exponentials a row, and keys and values of all positions of a sample: enough rows
// to meet every tile, few enough to be quick.
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

// [samples, rows, channels] out of [batch, seq, channels].
std::vector<float> part(const std::vector<float> &values, const std::vector<std::int64_t> &samples,
                        const std::vector<std::int64_t> &rows, std::int64_t seq, std::int64_t channels) {
    std::vector<float> result;
    for (const std::int64_t sample : samples) {
        for (const std::int64_t row : rows) {
            const auto first = values.begin() + (sample * seq + row) * channels;
            result.insert(result.end(), first, first + channels);
        }
    }
    return result;
}

}  // namespace

Arena::Arena(const Problem &problem, CudaDevice *cuda)
    : problem_(problem), weights_(make_weights(problem)), x_(make_input(problem)), y_(x_.size()) {
    const auto [batch, seq] = problem.shape;
    samples_ = spread(batch, std::max<std::int64_t>(max_checked_positions / seq, 2));
    rows_ = spread(seq, max_checked_rows);
    reference_ =
        reference_forward(problem.config, weights_, part(x_, samples_, spread(seq, seq), seq, problem.config.hidden),
                          {static_cast<std::int64_t>(samples_.size()), seq}, rows_);
    if (cuda) {
        device_x_.emplace(*cuda, x_);
        device_y_.emplace(*cuda, y_.size());
    }
}

std::shared_ptr<const Layer> Arena::layer(const KernelInfo &kernel, const Device &device) const {
    LayerOptions options;
    options.device = device.id;
    options.kernel = kernel.id;
    auto layer = std::make_shared<const Layer>(problem_.config, weights_, options);
    layer->kernel_for(problem_.shape);
    return layer;
}

void Arena::forward(const Layer &layer) {
    if (device_x_) {
        layer.forward(DeviceView<const float, 3>{view<const float>(device_x_->data())},
                      DeviceView<float, 3>{view(device_y_->data())});
    } else {
        layer.forward(input(), output());
    }
}

void Arena::finish(const Layer &layer) {
    if (device_x_) {
        layer.synchronize();
    }
}

void Arena::check(const KernelInfo &kernel, const Layer &layer, double &max_error, std::string &failure) {
    const auto run = [&] {
        forward(layer);
        finish(layer);
    };
    check(kernel, run, max_error, failure);
}

void Arena::check(const KernelInfo &kernel, const std::function<void()> &run, double &max_error, std::string &failure) {
    std::fill(y_.begin(), y_.end(), std::numeric_limits<float>::quiet_NaN());
    if (device_y_) {
        device_y_->upload(y_);
    }
    run();
    if (device_y_) {
        device_y_->download(y_);
    }
    const std::vector<float> actual = part(y_, samples_, rows_, problem_.shape.seq, problem_.config.hidden);
    double largest_error = 0, largest_output = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = std::abs(actual[i] - reference_.output[i]);
        largest_error = std::max(largest_error, std::isnan(error) ? infinity : error);
        largest_output = std::max(largest_output, std::abs(reference_.output[i]));
    }
    max_error = largest_error / largest_output;
    const double in_tolerances = error_in_tolerances(reference_, actual);
    if (!(in_tolerances <= allowed_tolerances(kernel))) {
        failure = fmt::format("WRONG: the error is {:.3g} times the tolerance", in_tolerances);
    } else if (!std::all_of(y_.begin(), y_.end(), [](float value) { return std::isfinite(value); })) {
        failure = "WRONG: an output that isn't compared isn't a number";
    }
}

}  // namespace aft::bench
