// Times the network for bench.py: routing_time WEIGHTS PLACES, where PLACES is a safetensors file. Prints the tours;
// then, for each line of its input, the CPU seconds of one encoding, and of all tours with their encoding, on one
// thread.
#include "network.h"

#include <ctime>
#include <exception>
#include <iostream>
#include <string>

namespace {

/// Times the second of two calls, whose caches the first one has filled.
template<typename Work>
double seconds_of(const Work &work) {
    work();
    const std::clock_t start = std::clock();
    work();
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 3) {
        std::cerr << "usage: routing_time WEIGHTS PLACES\n";
        return 2;
    }
    try {
        aft::set_thread_count(1);
        const routing::Network network(aft::read_safetensors(arguments[1]));
        const std::vector<double> places = aft::read_safetensors(arguments[2]).tensors.at("places").as_double();
        for (const std::int64_t city : routing::make_tours(network, places)) {
            std::cout << city << ' ';
        }
        std::cout << '\n' << std::flush;
        for (std::string line; std::getline(std::cin, line);) {
            const double encoding = seconds_of([&] { network.encode(routing::normalised(places)); });
            const double all = seconds_of([&] { routing::make_tours(network, places); });
            std::cout << encoding << ' ' << all << '\n' << std::flush;
        }
    } catch (const std::exception &error) {
        std::cerr << "routing_time: " << error.what() << '\n';
        return 2;
    }
}
