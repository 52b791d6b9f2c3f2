#include "network.h"

#include "blocks/kernels.h"

#include <HalideBuffer.h>
#include <routing_logits.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace routing {
namespace {

using networks::Activation;
using networks::Linear;

constexpr float epsilon = 1e-5f;  // of the norms
constexpr float clip = 10;        // logits are clip tanh(...)

std::int64_t channels_of(const aft::SafetensorsFile &file) {
    const auto found = file.tensors.find("embed.weight");
    if (found == file.tensors.end() || found->second.extents.size() != 2) {
        throw aft::WeightsError(file.path + ": embed.weight is missing, or no matrix");
    }
    return found->second.extents[0];
}

float scalar(const aft::SafetensorsFile &file, const std::string &name) {
    return networks::tensor(file, name, {})[0];
}

aft::Layer aft_layer(const aft::SafetensorsFile &file, const std::string &prefix, std::int64_t channels) {
    const aft::LayerConfig config{aft::aft_given, channels, channels, /*max_seq_len=*/1};
    aft::LoadOptions options;
    options.prefix = prefix;
    options.names = {{"project", ""}, {"beside", "alpha"}};
    return aft::Layer(config, aft::load_weights(file, config, options), {/*kernel=*/"", /*device=*/"cpu"});
}

std::vector<EncoderLayer> encoder_layers(const aft::SafetensorsFile &file, std::int64_t channels) {
    std::vector<EncoderLayer> layers;
    for (;;) {
        const std::string name = "layers." + std::to_string(layers.size()) + ".";
        if (file.tensors.lower_bound(name) == file.tensors.end() ||
            file.tensors.lower_bound(name)->first.compare(0, name.size(), name) != 0) {
            return layers;
        }
        layers.push_back({aft_layer(file, name + "aft.", channels), scalar(file, name + "aft.alpha"),
                          networks::InstanceNorm(file, name + "norm1", epsilon),
                          Linear(file, name + "up", Activation::relu), Linear(file, name + "down"),
                          networks::InstanceNorm(file, name + "norm2", epsilon)});
    }
}

/// [N, N], log2(N) times the distances of the places.
std::vector<float> scaled_distances(const std::vector<float> &places) {
    const std::size_t N = places.size() / 2;
    const double scale = std::log2(static_cast<double>(N));
    std::vector<float> scaled(N * N);
    for (std::size_t i = 0; i < N; ++i) {
        for (std::size_t j = 0; j < N; ++j) {
            const double x = static_cast<double>(places[2 * i]) - places[2 * j],
                         y = static_cast<double>(places[2 * i + 1]) - places[2 * j + 1];
            scaled[i * N + j] = static_cast<float>(scale * std::sqrt(x * x + y * y));
        }
    }
    return scaled;
}

template<typename T>
Halide::Runtime::Buffer<T, 2> matrix(T *values, std::int64_t rows, std::int64_t columns) {
    return Halide::Runtime::Buffer<T, 2>(values, static_cast<int>(columns), static_cast<int>(rows));
}

/// The columns that the kernel reads of the cities, which are N or more.
std::int64_t columns_of_cities(std::int64_t N, std::int64_t D) {
    float *const none = nullptr;  // a call without data is a question for the extents that it needs
    auto cities = matrix(none, 0, 0);
    networks::check_code("routing_logits",
                         routing_logits(matrix(none, 1, D), cities, matrix(none, 1, N), 0, clip, matrix(none, 1, N)));
    return cities.dim(0).extent();
}

/// Refuses places that aren't finite.
template<typename T>
void check_places(const std::vector<T> &places) {
    if (places.empty() || places.size() % 2 != 0) {
        throw aft::ShapeError("an instance has " + std::to_string(places.size()) +
                              " coordinates, must have some pairs");
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
        if (!std::isfinite(places[i])) {
            throw aft::ShapeError("city " + std::to_string(i / 2) + " is at " + std::to_string(places[i / 2 * 2]) +
                                  ", " + std::to_string(places[i / 2 * 2 + 1]) + ", must be finite");
        }
    }
}

}  // namespace

std::vector<float> normalised(const std::vector<double> &places) {
    check_places(places);
    double low[2], side = 0;
    for (int axis = 0; axis < 2; ++axis) {
        double high = low[axis] = places[axis];
        for (std::size_t i = axis; i < places.size(); i += 2) {
            low[axis] = std::min(low[axis], places[i]);
            high = std::max(high, places[i]);
        }
        side = std::max(side, high / 2 - low[axis] / 2);  // halves don't overflow
    }
    std::vector<float> result(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
        result[i] = static_cast<float>(side > 0 ? (places[i] / 2 - low[i % 2] / 2) / side : 0);
    }
    return result;
}

Network::Network(const aft::SafetensorsFile &file)
    : channels_(channels_of(file)), embed_(file, "embed"), layers_(encoder_layers(file, channels_)),
      first_(file, "first"), decoder_(aft_layer(file, "decoder.", channels_)),
      decoder_alpha_(scalar(file, "decoder.alpha")), alpha_(scalar(file, "alpha")) {}

Encoded Network::encode(const std::vector<float> &places) const {
    check_places(places);
    const std::int64_t N = static_cast<std::int64_t>(places.size()) / 2, D = channels_;
    std::vector<float> scaled = scaled_distances(places), x(N * D), y(N * D), mixed(N * D), sum(N * D), first(N * D);
    const auto rows = [&](std::vector<float> &values) {
        return networks::Result(values.data(), {1, N, static_cast<std::int64_t>(values.size()) / N});
    };
    embed_.forward({places.data(), {1, N, 2}}, rows(x));
    for (const EncoderLayer &layer : layers_) {
        aft::LayerCall call;
        call.query = rows(x);
        call.sight.position_bias = {scaled.data(), {1, N, N}};
        call.sight.bias_scale = -layer.alpha;
        layer.aft.forward(call, rows(mixed));
        layer.norm1.forward(rows(x), rows(mixed), rows(sum), rows(y));
        std::vector<float> wide(N * layer.up.outputs());
        layer.up.forward(rows(y), rows(wide));
        layer.down.forward(rows(wide), rows(mixed));
        layer.norm2.forward(rows(y), rows(mixed), rows(sum), rows(x));
    }
    first_.forward(rows(x), rows(first));
    const std::int64_t columns = columns_of_cities(N, D);
    std::vector<float> by_channel(columns * D);
    for (std::int64_t city = 0; city < N; ++city) {
        for (std::int64_t channel = 0; channel < D; ++channel) {
            by_channel[channel * columns + city] = x[city * D + channel];
        }
    }
    aft::Sources sources = decoder_.sources(rows(x));
    return {N, std::move(scaled), std::move(x), std::move(first), std::move(by_channel), std::move(sources)};
}

Decoder::Decoder(const Network &network, const Encoded &encoded, std::vector<std::int64_t> starts)
    : network_(network), encoded_(encoded), tours_(static_cast<std::int64_t>(starts.size())),
      starts_(std::move(starts)), is_open_(std::make_unique<bool[]>(tours_ * encoded.cities)),
      query_(tours_ * network.channels_), context_(query_.size()), distances_(tours_ * encoded.cities),
      logits_(distances_.size()) {
    std::fill_n(is_open_.get(), distances_.size(), true);
    visit(starts_);
}

void Decoder::visit(const std::vector<std::int64_t> &cities) {
    const std::int64_t N = encoded_.cities;
    if (static_cast<std::int64_t>(cities.size()) != tours_) {
        throw aft::ShapeError(std::to_string(cities.size()) + " cities for " + std::to_string(tours_) + " tours");
    }
    for (std::int64_t tour = 0; tour < tours_; ++tour) {
        if (cities[tour] < 0 || cities[tour] >= N || !is_open_[tour * N + cities[tour]]) {
            throw aft::ShapeError("tour " + std::to_string(tour) + " can't visit city " + std::to_string(cities[tour]) +
                                  " of " + std::to_string(N));
        }
    }
    last_ = cities;
    for (std::int64_t tour = 0; tour < tours_; ++tour) {
        is_open_[tour * N + cities[tour]] = false;
    }
}

const std::vector<float> &Decoder::logits() {
    const std::int64_t N = encoded_.cities, D = network_.channels_;
    for (std::int64_t tour = 0; tour < tours_; ++tour) {
        const float *of_start = &encoded_.first[starts_[tour] * D], *of_last = &encoded_.embedded[last_[tour] * D];
        std::transform(of_start, of_start + D, of_last, &query_[tour * D], std::plus<>());
        std::copy_n(&encoded_.scaled[last_[tour] * N], N, &distances_[tour * N]);
    }
    aft::LayerCall call;
    call.query = {query_.data(), {1, tours_, D}};
    call.sources = &encoded_.sources;
    call.sight.position_bias = {distances_.data(), {1, tours_, N}};
    call.sight.bias_scale = -network_.decoder_alpha_;
    call.sight.mask = {is_open_.get(), {1, tours_, N}};
    network_.decoder_.forward(call, {context_.data(), {1, tours_, D}});

    const auto columns = static_cast<std::int64_t>(encoded_.by_channel.size()) / D;
    networks::check_code("routing_logits", routing_logits(matrix(context_.data(), tours_, D),
                                                          matrix(encoded_.by_channel.data(), D, columns),
                                                          matrix(distances_.data(), tours_, N), network_.alpha_, clip,
                                                          matrix(logits_.data(), tours_, N)));
    return logits_;
}

std::vector<std::int64_t> Decoder::best() {
    const std::vector<float> &values = logits();
    std::vector<std::int64_t> result(tours_);
    for (std::int64_t tour = 0; tour < tours_; ++tour) {
        float most = -std::numeric_limits<float>::infinity();
        for (std::int64_t city = tour * encoded_.cities; city < (tour + 1) * encoded_.cities; ++city) {
            if (is_open_[city] && values[city] > most) {
                most = values[city];
                result[tour] = city - tour * encoded_.cities;
            }
        }
    }
    return result;
}

std::vector<std::int64_t> make_tours(const Network &network, const std::vector<double> &places) {
    const Encoded encoded = network.encode(normalised(places));
    const std::int64_t N = encoded.cities;
    std::vector<std::int64_t> cities(N), tours(N * N);
    std::iota(cities.begin(), cities.end(), 0);
    Decoder decoder(network, encoded, cities);
    for (std::int64_t step = 0;; ++step) {
        for (std::int64_t tour = 0; tour < N; ++tour) {
            tours[tour * N + step] = cities[tour];
        }
        if (step + 1 == N) {
            return tours;
        }
        cities = decoder.best();
        decoder.visit(cities);
    }
}

double length(const std::vector<double> &places, const std::int64_t *tour) {
    const std::size_t N = places.size() / 2;
    double sum = 0;
    for (std::size_t i = 0; i < N; ++i) {
        const double *from = &places[2 * tour[i]], *to = &places[2 * tour[(i + 1) % N]];
        sum += std::hypot(from[0] - to[0], from[1] - to[1]);
    }
    return sum;
}

}  // namespace routing
