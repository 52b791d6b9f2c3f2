// Goes on with a text.
//
// usage: characters MODEL PROMPT [COUNT [SEED [TEMPERATURE]]]      default: 500 characters, seed 0, temperature 0.7
// Prints the text, and to the standard error the seconds that it took and the processor seconds.
#include "characters/characters.h"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>

int main(int argc, char **argv) {
    const long count = argc > 3 ? std::atol(argv[3]) : 500;
    const unsigned seed = argc > 4 ? static_cast<unsigned>(std::atol(argv[4])) : 0;
    const float temperature = argc > 5 ? static_cast<float>(std::atof(argv[5])) : 0.7f;
    if (argc < 3 || argc > 6 || argv[2][0] == '\0' || count < 0 || !(temperature > 0)) {
        std::cerr << "usage: characters MODEL PROMPT [COUNT [SEED [TEMPERATURE]]]\n";
        return EXIT_FAILURE;
    }
    try {
        const networks::CharacterModel model(aft::read_safetensors(argv[1]));
        networks::Writer writer(model, seed, temperature);
        const auto start = std::chrono::steady_clock::now();
        const std::clock_t before = std::clock();
        const std::string text = writer.write(argv[2], count);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        const double of_processors = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
        std::cout << argv[2] << text << '\n';
        std::cerr << seconds.count() << ' ' << of_processors << '\n';
    } catch (const std::exception &error) {
        std::cerr << "characters: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
