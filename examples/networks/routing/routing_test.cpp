// The network beside PyTorch's in double (expected.py): routing_test WEIGHTS EXPECTED. Comparisons fail for NaN.
#include "network.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace {

int failures = 0;

void expect(bool is_true, const std::string &what) {
    if (!is_true) {
        std::cout << what << '\n';
        ++failures;
    }
}

void expect_refusal(const std::string &message, const std::function<void()> &call) {
    try {
        call();
        expect(false, "isn't refused: " + message);
    } catch (const aft::Error &error) {
        expect(error.what() == message, std::string("refused by \"") + error.what() + "\", not by \"" + message + '"');
    }
}

std::vector<std::int64_t> all(std::int64_t cities) {
    std::vector<std::int64_t> result(cities);
    std::iota(result.begin(), result.end(), 0);
    return result;
}

std::vector<std::int64_t> stop(const std::vector<std::int64_t> &tours, std::int64_t cities, std::int64_t step) {
    std::vector<std::int64_t> result(cities);
    for (std::int64_t tour = 0; tour < cities; ++tour) {
        result[tour] = tours[tour * cities + step];
    }
    return result;
}

/// Every tour visits every city, and its start first.
bool are_tours(const std::vector<std::int64_t> &tours, std::int64_t cities) {
    for (std::int64_t start = 0; start < cities; ++start) {
        const auto first = tours.begin() + start * cities;
        std::vector<std::int64_t> visited(first, first + cities);
        const bool starts = visited[0] == start;
        std::sort(visited.begin(), visited.end());
        if (!starts || visited != all(cities)) {
            return false;
        }
    }
    return true;
}

struct Expected {
    std::vector<double> places;       // [N, 2]
    std::vector<std::int64_t> tours;  // [N, N], greedy
    std::vector<float> logits;        // [N - 1, N, N], of the steps along them; 0 for visited cities
    std::int64_t cities;

    explicit Expected(const aft::SafetensorsFile &file)
        : places(file.tensors.at("places").as_double()), logits(file.tensors.at("logits").as_float()),
          cities(static_cast<std::int64_t>(places.size()) / 2) {
        for (const double city : file.tensors.at("tours").as_double()) {
            tours.push_back(static_cast<std::int64_t>(city));
        }
    }
};

void test_logits(const routing::Network &network, const Expected &expected) {
    constexpr double tolerance = 1e-5 * 10;  // of the range of logits
    const std::int64_t N = expected.cities;
    const routing::Encoded encoded = network.encode(routing::normalised(expected.places));
    routing::Decoder decoder(network, encoded, all(N));
    double largest = 0;
    std::size_t compared = 0;
    for (std::int64_t step = 0; step + 1 < N; ++step) {
        const std::vector<float> &logits = decoder.logits();
        for (std::int64_t tour = 0; tour < N; ++tour) {
            for (std::int64_t later = step + 1; later < N; ++later) {
                const std::int64_t city = tour * N + expected.tours[tour * N + later];
                const double error = std::abs(static_cast<double>(logits[city]) - expected.logits[step * N * N + city]);
                largest = error <= largest ? largest : error;  // a NaN stays
                ++compared;
            }
        }
        decoder.visit(stop(expected.tours, N, step + 1));
    }
    expect(compared == static_cast<std::size_t>(N * N * (N - 1) / 2), "some logits aren't compared");
    expect(largest <= tolerance, "logits are off by " + std::to_string(largest));
    std::cout << compared << " logits, at most " << largest << " off\n";
}

/// The tours don't depend on the scale, and the network itself is finite at any.
void test_scales(const routing::Network &network, const Expected &expected) {
    const std::int64_t N = expected.cities;
    for (const double scale : {1.0, 1e-6, 1e-3, 1e3, 1e6}) {
        const std::string at_scale = " at the scale " + std::to_string(scale);
        std::vector<double> places = expected.places;
        for (double &coordinate : places) {
            coordinate *= scale;
        }
        expect(routing::make_tours(network, places) == expected.tours, "other tours" + at_scale);
        const double length = routing::length(places, expected.tours.data()),
                     once = routing::length(expected.places, expected.tours.data());
        expect(std::abs(length / (once * scale) - 1) <= 1e-12, "another length" + at_scale);

        const routing::Encoded encoded = network.encode({places.begin(), places.end()});
        routing::Decoder decoder(network, encoded, all(N));
        for (std::int64_t step = 1; step < N; ++step) {
            const std::vector<float> &logits = decoder.logits();
            expect(std::all_of(logits.begin(), logits.end(), [](float logit) { return std::abs(logit) <= 10; }),
                   "logits aren't within 10" + at_scale);
            decoder.visit(decoder.best());
        }
    }
}

void test_few_and_equal_places(const routing::Network &network) {
    for (const std::int64_t cities : {1, 2, 3, 17, 65}) {
        expect(are_tours(routing::make_tours(network, std::vector<double>(2 * cities, 3.5)), cities),
               "no tours of " + std::to_string(cities) + " equal places");
    }
    expect(routing::normalised({-1e308, 1e308, 1e308, 0}) == std::vector<float>{0, 0.5F, 1, 0}, "halves overflow");
    std::vector<double> places;
    for (int i = 0; i < 65; ++i) {
        places.insert(places.end(), {std::sin(i), std::cos(3 * i)});
    }
    expect(are_tours(routing::make_tours(network, places), 65), "no tours of 65 places");
}

void test_refusals(const routing::Network &network, const aft::SafetensorsFile &file, const Expected &expected) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    expect_refusal("city 1 is at 2.000000, nan, must be finite", [&] { routing::normalised({0, 1, 2, nan}); });
    expect_refusal("an instance has 0 coordinates, must have some pairs", [&] { network.encode({}); });
    aft::SafetensorsFile without = file;
    without.tensors.erase("decoder.alpha");
    expect_refusal(file.path + ": tensor \"decoder.alpha\" is missing",
                   [&] { const routing::Network broken(without); });
    const routing::Encoded encoded = network.encode(routing::normalised(expected.places));
    expect_refusal("tour 0 can't visit city 20 of 20", [&] { routing::Decoder(network, encoded, {20}); });
    routing::Decoder decoder(network, encoded, {3, 4});
    expect_refusal("tour 1 can't visit city 4 of 20", [&] { decoder.visit({4, 4}); });
    expect_refusal("1 cities for 2 tours", [&] { decoder.visit({5}); });
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 3) {
        std::cerr << "usage: routing_test WEIGHTS EXPECTED\n";
        return 2;
    }
    const aft::SafetensorsFile file = aft::read_safetensors(arguments[1]);
    const routing::Network network(file);
    const Expected expected(aft::read_safetensors(arguments[2]));
    expect(are_tours(expected.tours, expected.cities), "the expected tours are none");
    test_logits(network, expected);
    expect(routing::make_tours(network, expected.places) == expected.tours, "other tours than PyTorch's");
    test_scales(network, expected);
    test_few_and_equal_places(network);
    test_refusals(network, file, expected);
    return failures == 0 ? 0 : 1;
}
