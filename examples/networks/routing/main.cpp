// Makes a short tour through places: routing WEIGHTS PLACES [PICTURE.svg]
// PLACES is a file with the two coordinates of a city on each line, or random:N:SEED for N places in the unit square.
#include "network.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<double> random_places(const std::string &text) {
    std::istringstream numbers(text);
    std::int64_t cities = 0;
    unsigned seed = 0;
    char colon = 0;
    if (!(numbers >> cities >> colon >> seed) || colon != ':' || !numbers.eof() || cities < 1) {
        throw std::runtime_error("random:" + text + " must be random:N:SEED with N >= 1");
    }
    std::mt19937 random(seed);
    std::vector<double> places(2 * cities);
    for (double &coordinate : places) {
        coordinate = static_cast<double>(random()) / std::mt19937::max();  // the same with every standard library
    }
    return places;
}

std::vector<double> read_places(const std::string &path) {
    std::ifstream file(path);
    if (!file) {
        throw std::runtime_error(path + ": can't be read");
    }
    std::vector<double> places;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        std::istringstream coordinates(line);
        double x = 0, y = 0;
        std::string rest;
        if (!(coordinates >> x >> y) || coordinates >> rest) {
            throw std::runtime_error(path + ":" + std::to_string(number) + ": must be two coordinates");
        }
        places.insert(places.end(), {x, y});
    }
    return places;
}

/// The closed tour as lines between dots.
void draw(const std::string &path, const std::vector<double> &places, const std::int64_t *tour) {
    constexpr int side = 600, margin = 20;
    const std::vector<float> in_square = routing::normalised(places);
    std::ofstream file(path);
    const std::int64_t cities = static_cast<std::int64_t>(places.size()) / 2;
    file.precision(4);
    const auto x = [&](std::int64_t city) { return margin + side * in_square[2 * city]; };
    const auto y = [&](std::int64_t city) { return margin + side * (1 - in_square[2 * city + 1]); };  // upwards
    file << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << side + 2 * margin << ' ' << side + 2 * margin
         << "\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<polygon fill=\"none\" stroke=\"#2a6f97\" "
            "stroke-width=\"2\" stroke-linejoin=\"round\" points=\"";
    for (std::int64_t i = 0; i < cities; ++i) {
        file << x(tour[i]) << ',' << y(tour[i]) << (i + 1 < cities ? " " : "\"/>\n");
    }
    for (std::int64_t city = 0; city < cities; ++city) {
        file << "<circle cx=\"" << x(city) << "\" cy=\"" << y(city) << "\" r=\"4\" fill=\"#d1495b\"/>\n";
    }
    file << "</svg>\n";
    if (!file.flush()) {
        throw std::runtime_error(path + ": can't be written");
    }
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 3 && count != 4) {
        std::cerr << "usage: routing WEIGHTS PLACES [PICTURE.svg]\n";
        return 2;
    }
    try {
        const routing::Network network(aft::read_safetensors(arguments[1]));
        const std::string from = arguments[2], random = "random:";
        const bool is_random = from.compare(0, random.size(), random) == 0;
        const std::vector<double> places = is_random ? random_places(from.substr(random.size())) : read_places(from);
        const std::vector<std::int64_t> tours = routing::make_tours(network, places);

        const std::int64_t cities = static_cast<std::int64_t>(places.size()) / 2;
        std::vector<double> lengths;
        for (std::int64_t tour = 0; tour < cities; ++tour) {
            lengths.push_back(routing::length(places, &tours[tour * cities]));
        }
        const std::int64_t best = std::min_element(lengths.begin(), lengths.end()) - lengths.begin();
        std::cout << "length " << lengths[best] << ":";
        for (std::int64_t i = 0; i < cities; ++i) {
            std::cout << ' ' << tours[best * cities + i];
        }
        std::cout << '\n';
        if (count == 4) {
            draw(arguments[3], places, &tours[best * cities]);
        }
    } catch (const std::exception &error) {
        std::cerr << "routing: " << error.what() << '\n';
        return 2;
    }
}
