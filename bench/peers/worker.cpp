// The C++ part of compare.py.
//
//     aft_peers problem LAYER B,T,H,P[,s] FILE    writes a problem with its reference
//     aft_peers work THREADS [BLAS]               runs aft::Layer, or GemmLayer on the BLAS at that path
//
// A worker answers each line of JSON on standard input with one on standard output, {"error": ...} if it can't:
//
//     {"problem": FILE, "form": FORM, "output": FILE}    calls once, and writes y, float32: {"seconds": the call took}
//     {"calls": N}    calls N times more, after N / 10 + 1 calls to warm up: {"seconds": one took, on an average}
//
// aft::Layer answers the first with its "kernel" too. FORM is "banded" for products in the band of AFTLocal.

#include "gemm_layer.h"
#include "problem_file.h"

#include "bench/failure.h"
#include "bench/whole_number.h"

#include <aft/aft.h>

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using nlohmann::json;

namespace aft::bench {

namespace {

// A layer with its input.
class Contestant {
public:
    std::string kernel;  // of ours

    Contestant(const std::string &path, const std::string &form, const Sgemm &sgemm) {
        const SafetensorsFile file = read_safetensors(path);
        const StoredTensor &input = file.tensors.at("input");
        x_ = input.as_float();
        y_.assign(x_.size(), std::numeric_limits<float>::quiet_NaN());
        const Shape shape{input.extents[0], input.extents[1]};
        LayerConfig config{layer_form(file.metadata.at("layer")), 0, 0, shape.seq,
                           std::stoll(file.metadata.at("window"))};
        config = config_from_weights(path, config);
        const Weights weights = load_weights(path, config);
        if (sgemm) {
            const auto layer = std::make_shared<GemmLayer>(sgemm, config, weights, shape, form == "banded");
            call_ = [this, layer] { layer->forward(x_.data(), y_.data()); };
            return;
        }
        LayerOptions options;
        options.device = "cpu";
        const auto layer = std::make_shared<const Layer>(config, weights, options);
        const std::array<std::int64_t, 3> extents{shape.batch, shape.seq, config.hidden};
        call_ = [this, layer, extents] { layer->forward({x_.data(), extents}, {y_.data(), extents}); };
        kernel = layer->kernel_for(shape).id;
    }

    Contestant(const Contestant &) = delete;
    Contestant &operator=(const Contestant &) = delete;

    double seconds_of(int calls) const {
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < calls; ++i) {
            call_();
        }
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
    }

    /// A process that was stopped may find its threads on one processor; some scheduler ticks put that right.
    void warm_up() const {
        constexpr double seconds = 0.02;
        for (double passed = 0; passed < seconds;) {
            passed += seconds_of(1);
        }
    }

    void write_output(const std::string &path) const {
        std::ofstream file(path, std::ios::binary);
        file.write(reinterpret_cast<const char *>(y_.data()), static_cast<std::streamsize>(y_.size() * sizeof(float)));
        if (!file.flush()) {
            throw std::runtime_error("can't write " + path);
        }
    }

private:
    std::vector<float> x_, y_;
    std::function<void()> call_;
};

json answer(const json &request, const Sgemm &sgemm, std::optional<Contestant> &contestant) {
    if (request.contains("problem")) {
        contestant.reset();
        contestant.emplace(request.at("problem"), request.at("form"), sgemm);
        const double seconds = contestant->seconds_of(1);
        contestant->write_output(request.at("output"));
        return {{"seconds", seconds}, {"kernel", contestant->kernel}};
    }
    if (!contestant) {
        throw std::runtime_error("there is no problem");
    }
    const int calls = request.at("calls");
    contestant->warm_up();
    return {{"seconds", contestant->seconds_of(calls)}};
}

void work(int threads, const std::string &blas) {
    set_thread_count(threads);
    Sgemm sgemm;
    std::optional<Contestant> contestant;
    for (std::string line; std::getline(std::cin, line);) {
        json result;
        try {
            if (!blas.empty() && !sgemm) {
                sgemm = load_sgemm(blas);
            }
            result = answer(json::parse(line), sgemm, contestant);
        } catch (const std::exception &error) {
            result = {{"error", what_failed(error)}};
        }
        std::cout << result.dump(-1, ' ', false, json::error_handler_t::replace) << '\n' << std::flush;
        if (!std::cout) {
            throw std::runtime_error("standard output can't be written");
        }
    }
}

// Throws std::exception.
Problem problem(const std::string &layer, const std::string &shape) {
    std::vector<std::int64_t> extents;
    std::istringstream parts(shape);
    for (std::string part; std::getline(parts, part, ',');) {
        extents.push_back(whole_number(part));
    }
    extents.resize(extents.size() == 4 ? 5 : extents.size());
    if (extents.size() != 5) {
        throw std::runtime_error("'" + shape + "' isn't B,T,H,P or B,T,H,P,s");
    }
    Problem problem;
    problem.config = {layer_form(layer), extents[2], extents[3], extents[1], extents[4]};
    problem.shape = {extents[0], extents[1]};
    return problem;
}

int run(const std::vector<std::string> &arguments) {
    if (arguments.size() == 4 && arguments[0] == "problem") {
        write_problem(problem(arguments[1], arguments[2]), arguments[3]);
        return 0;
    }
    if ((arguments.size() != 2 && arguments.size() != 3) || arguments[0] != "work") {
        throw std::runtime_error("usage: aft_peers problem LAYER B,T,H,P[,s] FILE | aft_peers work THREADS [BLAS]");
    }
    work(static_cast<int>(whole_number(arguments[1])), arguments.size() == 3 ? arguments[2] : "");
    return 0;
}

}  // namespace

}  // namespace aft::bench

int main(int argc, char **argv) {
    try {
        return aft::bench::run({argv + 1, argv + argc});
    } catch (const std::exception &error) {
        std::cerr << "aft_peers: " << error.what() << '\n';
        return 1;
    }
}
