// Measures the memory that a layer takes beyond its input, output and weights. It is a process of its own, so that the
// peak is the layer's.
//
// usage: aft_memory LAYER B T H P s

#include "whole_number.h"

#include <aft/aft.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// A value of this process: "VmRSS" is its resident memory now, "VmHWM" the most so far.
std::size_t bytes_of(const std::string &field) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind(field + ":", 0) == 0) {
            return std::stoull(line.substr(field.size() + 1)) * 1024;
        }
    }
    throw std::runtime_error("/proc/self/status has no " + field);
}

void measure(char **argument) {
    using aft::bench::whole_number;
    const std::int64_t batch = whole_number(argument[1]), seq = whole_number(argument[2]),
                       hidden = whole_number(argument[3]), projected = whole_number(argument[4]),
                       window = whole_number(argument[5]);
    const aft::LayerConfig config{aft::layer_form(argument[0]), hidden, projected, seq, window};
    // Vectors of known values are written without temporaries, so that the peak is still ahead.
    aft::Weights weights;
    const std::vector<float> projection(hidden * projected, 0.01f);
    weights.query_weight = weights.key_weight = weights.value_weight = weights.project_weight = projection;
    if (config.form.has_bias()) {
        weights.position_bias.assign(seq * seq, 0.5f);
    }
    const std::vector<float> x(batch * seq * hidden, 1.0f);
    std::vector<float> y(x.size(), 0.0f);

    aft::devices();  // loads what drivers of GPUs there are, once in a process
    const std::size_t before = bytes_of("VmRSS");
    aft::LayerOptions options;
    options.device = "cpu";
    const aft::Layer layer(config, weights, options);
    layer.forward({x.data(), {batch, seq, hidden}}, {y.data(), {batch, seq, hidden}});
    const std::size_t inputs =
        (4 * projection.size() + weights.position_bias.size() + x.size() + y.size()) * sizeof(float);
    fmt::print("{{\"kernel\": \"{}\", \"inputs\": {}, \"over_inputs\": {}, \"scratch\": {}}}\n",
               layer.kernel_for({batch, seq}).id, inputs, bytes_of("VmHWM") - before, layer.scratch_bytes());
    if (std::fflush(stdout) != 0) {
        throw std::runtime_error(std::string("standard output can't be written: ") + std::strerror(errno));
    }
}

}  // namespace

int main(int argc, char **argv) {
    try {
        if (argc != 7) {
            throw std::invalid_argument("usage: aft_memory LAYER B T H P s");
        }
        measure(argv + 1);
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "aft_memory: %s\n", error.what());
        return 1;
    }
}
