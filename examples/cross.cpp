// A tour through cities on a line. The sources, all cities, are kept; each call has another target, the city of the
// moment, with a position bias of -alpha times its distances, and a mask that hides the cities that were visited.
#include <aft/aft.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <vector>

int main() {
    const std::int64_t cities = 10;
    const float alpha = 1;
    aft::LayerConfig config{aft::aft_given, /*hidden=*/2, /*projected=*/2, /*max_seq_len=*/1};
    config.form.gate = aft::Gate::none;  // no query, and without project_weight no output projection
    aft::Weights weights;
    weights.key_weight = {0, 0, 0, 0};
    weights.value_weight = {1, 0, 0, 1};  // a value is a place, so that y is a mean of places
    const aft::Layer layer(config, weights);

    std::vector<float> places, distances;
    for (std::int64_t i = 0; i < cities; ++i) {
        places.insert(places.end(), {static_cast<float>(i), 0});
        for (std::int64_t j = 0; j < cities; ++j) {
            distances.push_back(std::abs(static_cast<float>(i - j)));
        }
    }
    const aft::Sources sources = layer.sources({places.data(), {1, cities, 2}});

    const auto is_open = std::make_unique<bool[]>(cities);
    std::fill_n(is_open.get(), cities, true);
    for (std::int64_t city = 0; city + 1 < cities; ++city) {
        is_open[city] = false;
        aft::LayerCall call;
        call.query = {places.data() + city * 2, {1, 1, 2}};
        call.sources = &sources;
        call.sight.position_bias = {distances.data() + city * cities, {1, 1, cities}};
        call.sight.bias_scale = -alpha;
        call.sight.mask = {is_open.get(), {1, 1, cities}};
        std::vector<float> y(2);
        layer.forward(call, {y.data(), {1, 1, 2}});
        std::cout << layer.kernel_for({1, 1}).id << ": from " << city << " towards " << y[0] << '\n';
    }
}
