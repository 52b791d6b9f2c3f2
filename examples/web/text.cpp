// The functions of the page that write a text, by the network of examples/networks/characters. Each returns JSON:
// {"problem": ...} when it fails.
#include "json.h"

#include "characters/characters.h"

#include <emscripten/emscripten.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

namespace {

std::optional<networks::CharacterModel> model;
std::optional<networks::Writer> writer;

}  // namespace

extern "C" {

/// Reads the network from a file, before all other calls.
EMSCRIPTEN_KEEPALIVE const char *load_model(const char *path) {
    return json([&] {
        model.emplace(aft::read_safetensors(path));
        return nlohmann::json{{"alphabet", model->alphabet()}};
    });
}

EMSCRIPTEN_KEEPALIVE const char *begin_text(const char *prompt, unsigned seed, float temperature) {
    return json([&] {
        if (!(temperature > 0)) {
            throw std::invalid_argument("the temperature is " + std::to_string(temperature) + ", must be above 0");
        }
        writer.emplace(*model, seed, temperature).begin(prompt);
        return nlohmann::json::object();
    });
}

/// The next character of the text, and the time that it took.
EMSCRIPTEN_KEEPALIVE const char *next_character() {
    return json([&] {
        const auto begin = std::chrono::steady_clock::now();
        const char character = writer->next();
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
        return nlohmann::json{{"character", std::string(1, character)}, {"milliseconds", time.count()}};
    });
}
}
