// The network beside the same computation in double, with small random weights. With AFT_FEATUREBOOSTER in the
// environment, also SIFT+Boost-F beside the result in float64 that this file has (tests/data/README.md). Comparisons
// fail for NaN.
#include "featurebooster/featurebooster.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <random>

namespace {

using namespace networks;

using Rows = std::vector<std::vector<double>>;

constexpr std::int64_t images = 2, n = 23, channels = 24, keypoint_channels = 4, outputs = 20, layers = 3;

/// The largest error, relative to the largest value; NaN when a value is one.
double error_of(const std::vector<float> &y, const std::vector<double> &expected) {
    double error = 0, largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double each = std::abs(y.at(i) - expected[i]);
        error = std::isnan(each) || each > error ? each : error;  // a NaN stays
        largest = std::max(largest, std::abs(expected[i]));
    }
    return error / largest;
}

// ---- the definition

class Reference {
public:
    explicit Reference(const aft::SafetensorsFile &file) : file_(file) {}

    Rows boosted(const Rows &descriptors, const Rows &keypoints) const {
        Rows d = sum(sum(descriptors, mlp(descriptors, "denc.encoder")), mlp(keypoints, "kenc.encoder"));
        d = norm(d, "layer_norm");
        for (int i = 0; i < layers; ++i) {
            const std::string layer = "attn_proj.layers." + std::to_string(i);
            d = norm(sum(d, mixed(d, layer + ".attn")), layer + ".attn.layer_norm");
            d = norm(sum(d, mlp(d, layer + ".ffn.mlp")), layer + ".ffn.layer_norm");
        }
        d = linear(d, "final_proj");
        for (std::vector<double> &row : d) {
            double squares = 0;
            for (const double v : row) {
                squares += v * v;
            }
            for (double &v : row) {
                v /= std::sqrt(squares);
            }
        }
        return d;
    }

private:
    std::vector<float> values(const std::string &name) const {
        return file_.tensors.at(name).as_float();
    }
    Rows linear(const Rows &x, const std::string &name) const {
        const std::vector<float> weight = values(name + ".weight"), bias = values(name + ".bias");
        Rows y;
        for (const std::vector<double> &row : x) {
            std::vector<double> &result = y.emplace_back(bias.begin(), bias.end());
            for (std::size_t c = 0; c < bias.size(); ++c) {
                for (std::size_t k = 0; k < row.size(); ++k) {
                    result[c] += row[k] * weight[c * row.size() + k];
                }
            }
        }
        return y;
    }
    Rows mlp(Rows x, const std::string &name) const {
        for (int i = 0; file_.tensors.count(name + "." + std::to_string(i) + ".weight") > 0; i += 2) {
            if (i > 0) {
                for (std::vector<double> &row : x) {
                    for (double &v : row) {
                        v = std::max(v, 0.0);
                    }
                }
            }
            x = linear(x, name + "." + std::to_string(i));
        }
        return x;
    }
    static Rows sum(Rows a, const Rows &b) {
        for (std::size_t i = 0; i < a.size(); ++i) {
            for (std::size_t c = 0; c < a[i].size(); ++c) {
                a[i][c] += b[i][c];
            }
        }
        return a;
    }
    Rows norm(Rows x, const std::string &name) const {
        const std::vector<float> weight = values(name + ".weight"), bias = values(name + ".bias");
        for (std::vector<double> &row : x) {
            double mean = 0, variance = 0;
            for (const double v : row) {
                mean += v / static_cast<double>(row.size());
            }
            for (const double v : row) {
                variance += (v - mean) * (v - mean) / static_cast<double>(row.size());
            }
            for (std::size_t c = 0; c < row.size(); ++c) {
                row[c] = (row[c] - mean) / std::sqrt(variance + 1e-6) * weight[c] + bias[c];
            }
        }
        return x;
    }
    /// AFTSimple.
    Rows mixed(const Rows &x, const std::string &name) const {
        const Rows key = linear(x, name + ".key"), value = linear(x, name + ".value");
        Rows gated = linear(x, name + ".query");
        for (std::size_t c = 0; c < gated[0].size(); ++c) {
            double numerator = 0, denominator = 0;
            for (std::size_t t = 0; t < x.size(); ++t) {
                numerator += std::exp(key[t][c]) * value[t][c];
                denominator += std::exp(key[t][c]);
            }
            for (std::vector<double> &row : gated) {
                row[c] = numerator / denominator / (1 + std::exp(-row[c]));
            }
        }
        return linear(gated, name + ".proj");
    }

    const aft::SafetensorsFile &file_;
};

// ---- random weights and features

std::vector<float> random_values(std::int64_t count, float range) {
    static std::mt19937 random(1);
    std::uniform_real_distribution<float> values(-range, range);
    std::vector<float> result(static_cast<std::size_t>(count));
    for (float &value : result) {
        value = values(random);
    }
    return result;
}

void add_linear(aft::SafetensorsFile &file, const std::string &name, std::int64_t inputs, std::int64_t of_outputs) {
    const float range = 2 / std::sqrt(static_cast<float>(inputs));
    file.tensors[name + ".weight"] =
        aft::stored_tensor({of_outputs, inputs}, random_values(inputs * of_outputs, range));
    file.tensors[name + ".bias"] = aft::stored_tensor({of_outputs}, random_values(of_outputs, 0.5f));
}

void add_norm(aft::SafetensorsFile &file, const std::string &name) {
    file.tensors[name + ".weight"] = aft::stored_tensor({channels}, random_values(channels, 2));
    file.tensors[name + ".bias"] = aft::stored_tensor({channels}, random_values(channels, 1));
}

aft::SafetensorsFile random_network() {
    aft::SafetensorsFile file;
    file.path = "random";
    add_linear(file, "kenc.encoder.0", keypoint_channels, 16);
    add_linear(file, "kenc.encoder.2", 16, channels);
    add_linear(file, "denc.encoder.0", channels, 40);
    add_linear(file, "denc.encoder.2", 40, channels);
    add_norm(file, "layer_norm");
    for (int i = 0; i < layers; ++i) {
        const std::string layer = "attn_proj.layers." + std::to_string(i);
        for (const char *projection : {".attn.query", ".attn.key", ".attn.value", ".attn.proj"}) {
            add_linear(file, layer + projection, channels, channels);
        }
        add_norm(file, layer + ".attn.layer_norm");
        add_linear(file, layer + ".ffn.mlp.0", channels, 48);
        add_linear(file, layer + ".ffn.mlp.2", 48, channels);
        add_norm(file, layer + ".ffn.layer_norm");
    }
    add_linear(file, "final_proj", channels, outputs);
    return file;
}

bool is_true(bool condition, const char *what) {
    if (!condition) {
        std::cout << "not so: " << what << '\n';
    }
    return condition;
}

bool is_at_most(double error, double limit, const char *what) {
    std::cout << what << ": error " << error << ", at most " << limit << '\n';
    return error <= limit;
}

bool random_weights_agree() {
    const aft::SafetensorsFile file = random_network();
    const std::vector<float> descriptors = random_values(images * n * channels, 1),
                             keypoints = random_values(images * n * keypoint_channels, 1);
    std::vector<float> y(images * n * outputs, std::numeric_limits<float>::quiet_NaN());
    FeatureBooster(file).forward({descriptors.data(), {images, n, channels}},
                                 {keypoints.data(), {images, n, keypoint_channels}}, {y.data(), {images, n, outputs}});
    std::vector<double> expected;
    for (std::int64_t image = 0; image < images; ++image) {
        const auto rows = [&](const std::vector<float> &values, std::int64_t width) {
            Rows result;
            for (std::int64_t i = image * n; i < (image + 1) * n; ++i) {
                result.emplace_back(values.begin() + i * width, values.begin() + (i + 1) * width);
            }
            return result;
        };
        for (const std::vector<double> &row :
             Reference(file).boosted(rows(descriptors, channels), rows(keypoints, keypoint_channels))) {
            expected.insert(expected.end(), row.begin(), row.end());
        }
    }
    return is_at_most(error_of(y, expected), 2e-6, "random weights");
}

bool a_network_without_layers_is_refused() {
    aft::SafetensorsFile file = random_network();
    file.tensors.erase("attn_proj.layers.0.attn.query.weight");
    try {
        const FeatureBooster booster(file);
    } catch (const aft::WeightsError &error) {
        return std::string(error.what()) == "random: tensor \"attn_proj.layers.0.attn.query.weight\" is missing";
    }
    return false;
}

bool too_few_keypoints_are_refused() {
    const aft::SafetensorsFile file = random_network();
    const std::vector<float> descriptors(3 * channels), keypoints(2 * keypoint_channels);
    std::vector<float> y(3 * outputs);
    try {
        FeatureBooster(file).forward({descriptors.data(), {1, 3, channels}},
                                     {keypoints.data(), {1, 2, keypoint_channels}}, {y.data(), {1, 3, outputs}});
    } catch (const aft::ShapeError &error) {
        return std::string(error.what()) == "keypoints is [1, 2, 4], must be [1, 3, 4] with channels side by side";
    }
    return false;
}

bool trained_weights_agree(const char *path) {
    const aft::SafetensorsFile file = aft::read_safetensors(path);
    const FeatureBooster booster(file);
    const std::int64_t keypoints = file.tensors.at("output_f64").extents.at(0);
    std::vector<float> y(static_cast<std::size_t>(keypoints * booster.outputs()),
                         std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> descriptors = tensor(file, "input_desc", {keypoints, booster.descriptor_channels()});
    const std::vector<float> of_keypoints = tensor(file, "input_kpts", {keypoints, booster.keypoint_channels()});
    booster.forward({descriptors.data(), {1, keypoints, booster.descriptor_channels()}},
                    {of_keypoints.data(), {1, keypoints, booster.keypoint_channels()}},
                    {y.data(), {1, keypoints, booster.outputs()}});
    return is_at_most(error_of(y, file.tensors.at("output_f64").as_double()), 2e-6, "SIFT+Boost-F");
}

}  // namespace

int main() {
    bool is_right = random_weights_agree();
    is_right = is_true(a_network_without_layers_is_refused(), "a network without layers is refused") && is_right;
    is_right = is_true(too_few_keypoints_are_refused(), "too few keypoints are refused") && is_right;
    const char *const path = std::getenv("AFT_FEATUREBOOSTER");
    is_right = (!path || trained_weights_agree(path)) && is_right;
    return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}
