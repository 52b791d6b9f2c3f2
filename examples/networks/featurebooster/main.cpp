// Boosts the descriptors of an image.
//
// usage: featurebooster WEIGHTS FEATURES BOOSTED [REPETITIONS]
// WEIGHTS    safetensors file with the tensors of SIFT+Boost-F
// FEATURES   safetensors file with descriptors [n, 128] of length 1 and keypoints [n, 4]
// BOOSTED    safetensors file to write, with descriptors [n, 128]
// With REPETITIONS, prints the least seconds and the least processor seconds of so many calls.
#include "featurebooster/featurebooster.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <limits>

namespace {

using networks::View;

/// One image's rows in a file.
struct Rows {
    std::vector<float> values;
    View::Extents extents;
    Rows(const aft::SafetensorsFile &file, const std::string &name, std::int64_t channels) {
        const auto found = file.tensors.find(name);
        const std::int64_t n =
            found == file.tensors.end() || found->second.extents.empty() ? 0 : found->second.extents[0];
        values = networks::tensor(file, name, {n, channels});
        extents = {1, n, channels};
    }
};

void run(const std::string &weights, const std::string &features, const std::string &boosted, int repetitions) {
    const networks::FeatureBooster booster(aft::read_safetensors(weights));
    const aft::SafetensorsFile file = aft::read_safetensors(features);
    const Rows descriptors(file, "descriptors", booster.descriptor_channels());
    const Rows keypoints(file, "keypoints", booster.keypoint_channels());
    const std::int64_t n = descriptors.extents[1];
    std::vector<float> y(static_cast<std::size_t>(n * booster.outputs()));
    double seconds = std::numeric_limits<double>::infinity(), of_processors = seconds;
    for (int i = 0; i < std::max(repetitions, 1); ++i) {
        const auto start = std::chrono::steady_clock::now();
        const std::clock_t before = std::clock();
        booster.forward({descriptors.values.data(), descriptors.extents}, {keypoints.values.data(), keypoints.extents},
                        {y.data(), {1, n, booster.outputs()}});
        of_processors = std::min(of_processors, static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC);
        seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    aft::SafetensorsFile result;
    result.tensors["descriptors"] = aft::stored_tensor({n, booster.outputs()}, y);
    aft::write_safetensors(boosted, result);
    if (repetitions > 0) {
        std::cout << seconds << ' ' << of_processors << '\n';
    }
}

}  // namespace

int main(int argc, char **argv) {
    const int repetitions = argc == 5 ? std::atoi(argv[4]) : 0;
    if (argc < 4 || argc > 5 || (argc == 5 && repetitions < 1)) {
        std::cerr << "usage: featurebooster WEIGHTS FEATURES BOOSTED [REPETITIONS]\n";
        return EXIT_FAILURE;
    }
    try {
        run(argv[1], argv[2], argv[3], repetitions);
    } catch (const std::exception &error) {
        std::cerr << "featurebooster: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
