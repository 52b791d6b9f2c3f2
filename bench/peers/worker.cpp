// The C++ part of compare.py.
//
//     aft_peers problem LAYER SHAPE FILE    writes a problem with its reference (problem_file.h)
//     aft_peers work THREADS [BLAS]         runs aft::Layer or aft::Core, or with the BLAS at that path, GemmLayer or
//                                           GemmMean
//     aft_peers busy                        multiplies and adds on one thread until standard input ends
//
// A worker answers each line of JSON on standard input with one on standard output, {"error": ...} if it can't:
//
//     {"problem": FILE, "form": FORM, "output": FILE}    calls once, and writes y, float32: {"seconds": the call took}
//     {"calls": N}    calls N times more, after N / 10 + 1 calls to warm up: {"seconds": one took, on an average}
//
// Ours answers the first with its "kernel" too, of a layer of several kernels with that of its mean, and "" for kept
// sources. FORM has some of these words: "banded" for products in the band of a window, "blocked" for those in blocks
// of causal AFTFull, "bfloat16" for products of bfloat16, and "training" for a step of training: the result with all
// gradients, whose own gradient is the input. Its output is y and then the gradient of the input.

#include "gemm_layer.h"
#include "gemm_mean.h"
#include "problem_file.h"

#include "bench/ceilings.h"
#include "bench/failure.h"
#include "bench/whole_number.h"
#include "reference/trained.h"

#include <aft/aft.h>

#include <nlohmann/json.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
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
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using nlohmann::json;

namespace aft::bench {

namespace {

// Whether a form has the word.
bool has(const std::string &form, const char *word) {
    return form.find(word) != std::string::npos;
}

// The layer or the mean that computes a problem again and again, with its inputs.
class Contestant {
public:
    std::string kernel;  // of ours

    Contestant(const std::string &path, const std::string &form, const std::string &blas)
        : options_{"", "cpu", has(form, "bfloat16") ? "bfloat16" : "float32"} {
        const SafetensorsFile file = read_safetensors(path);
        const std::string &layer = file.metadata.at("layer");
        const std::int64_t window = std::stoll(file.metadata.at("window"));
        const bool is_given = layer == "given", takes_bias = is_given || layer == "kept";
        const StoredTensor &x = file.tensors.at(is_given ? "query" : "input");
        const std::int64_t B = x.extents[0], n = x.extents[1], m = takes_bias ? file.tensors.at("key").extents[1] : n;
        x_ = x.as_float();
        y_.assign(x_.size(), std::numeric_limits<float>::quiet_NaN());
        LayerConfig config{takes_bias ? aft_given : layer_form(layer), 0, 0, std::max(n, m), window};
        if (is_given) {
            config.projected = x.extents[2];
        } else {
            config = config_from_weights(file, config);
        }
        const Weights weights = is_given ? Weights() : load_weights(file, config);
        if (takes_bias) {
            key_ = file.tensors.at("key").as_float();
            value_ = file.tensors.at("value").as_float();
            bias_ = file.tensors.at("bias").as_float();
        }
        if (!blas.empty() && options_.storage == "bfloat16") {
            run_peer(load_product_maker<BFloat16>(blas), {B, n}, m, config, weights, form);
        } else if (!blas.empty()) {
            run_peer(load_product_maker<float>(blas), {B, n}, m, config, weights, form);
        } else if (takes_bias) {
            run_ours({B, n}, m, config, weights);
        } else if (has(form, "training")) {
            train({B, n}, config, weights);
        } else {
            const auto ours = std::make_shared<const Layer>(config, weights, options_);
            const std::array<std::int64_t, 3> extents{B, n, config.hidden};
            call_ = [this, ours, extents] { ours->forward({x_.data(), extents}, {y_.data(), extents}); };
            kernel = ours->kernel_for({B, n}).id;
        }
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
    // A layer of a bias of the call keeps its sources; the mean alone gets them at each call.
    void run_ours(const Shape &shape, std::int64_t m, const LayerConfig &config, const Weights &weights) {
        const std::int64_t B = shape.batch, n = shape.seq, P = config.projected;
        const std::array<std::int64_t, 3> of_targets{B, n, P}, of_sources{B, m, P};
        const TensorView<const float, 3> keys(key_.data(), of_sources), values(value_.data(), of_sources);
        const TensorView<const float, 3> query(x_.data(), of_targets);
        Sight sight;
        sight.position_bias = {bias_.data(), {B, n, m}};
        if (config.hidden != 0) {
            const auto layer = std::make_shared<const Layer>(config, weights, options_);
            const auto sources = std::make_shared<const Sources>(layer->sources(keys, values));
            LayerCall call;
            call.query = query;
            call.sources = sources.get();
            call.sight = sight;
            call_ = [this, layer, sources, call, of_targets] { layer->forward(call, {y_.data(), of_targets}); };
            return;
        }
        const auto core = std::make_shared<const Core>(config, weights, options_);
        const CoreCall call{query, keys, values, sight};
        call_ = [this, core, call, of_targets] { core->forward(call, {y_.data(), of_targets}); };
        kernel = core->kernel_for(n, m).id;
    }

    // All that is trained has its gradient in each call.
    void train(const Shape &shape, const LayerConfig &config, const Weights &weights) {
        const auto layer = std::make_shared<const LayerTraining>(config, options_);
        const auto values = std::make_shared<const Weights>(weights);
        const auto of_values = std::make_shared<Weights>(weights);
        const LayerParameters parameters = parameters_of(config, *values);
        LayerGradients gradients = gradients_of(config, *of_values);
        const std::size_t size = x_.size();
        y_.assign(2 * size, std::numeric_limits<float>::quiet_NaN());
        const std::array<std::int64_t, 3> extents{shape.batch, shape.seq, config.hidden};
        LayerCall call;
        call.query = {x_.data(), extents};
        gradients.query = {y_.data() + size, extents};
        const auto saved = std::make_shared<std::vector<float>>(static_cast<std::size_t>(layer->saved_size(call)));
        call_ = [=] {
            const TensorView<float, 1> all_saved(saved->data(), {static_cast<std::int64_t>(saved->size())});
            layer->forward(parameters, call, {y_.data(), extents}, all_saved);
            layer->backward(parameters, call, call.query, all_saved, gradients);
            static_cast<void>(values), static_cast<void>(of_values);  // whose memory the views are of
        };
        kernel = "training";
    }

    template<typename Operand>
    void run_peer(const ProductMaker<Operand> &product_of, const Shape &shape, std::int64_t m,
                  const LayerConfig &config, const Weights &weights, const std::string &form) {
        if (bias_.empty()) {
            const bool in_blocks = has(form, "banded") || has(form, "blocked");
            const auto gemm = std::make_shared<GemmLayer<Operand>>(product_of, config, weights, shape, in_blocks);
            call_ = [this, gemm] { gemm->forward(x_.data(), y_.data()); };
            return;
        }
        const auto mean =
            std::make_shared<GemmMean<Operand>>(product_of, static_cast<int>(shape.batch), static_cast<int>(shape.seq),
                                                static_cast<int>(m), static_cast<int>(config.projected), weights);
        if (config.hidden != 0) {
            mean->weigh_inputs(key_.data(), value_.data());
            call_ = [this, mean] { mean->forward(x_.data(), bias_.data(), y_.data()); };
            return;
        }
        call_ = [this, mean] {
            mean->weigh(key_.data(), value_.data());
            mean->forward(x_.data(), bias_.data(), y_.data());
        };
    }

    const LayerOptions options_;
    std::vector<float> x_, key_, value_, bias_, y_;
    std::function<void()> call_;
};

json answer(const json &request, const std::string &blas, std::optional<Contestant> &contestant) {
    if (request.contains("problem")) {
        contestant.reset();
        contestant.emplace(request.at("problem"), request.at("form"), blas);
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
    std::optional<Contestant> contestant;
    for (std::string line; std::getline(std::cin, line);) {
        json result;
        try {
            result = answer(json::parse(line), blas, contestant);
        } catch (const std::exception &error) {
            result = {{"error", what_failed(error)}};
        }
        std::cout << result.dump(-1, ' ', false, json::error_handler_t::replace) << '\n' << std::flush;
        if (!std::cout) {
            throw std::runtime_error("standard output can't be written");
        }
    }
}

void keep_busy() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, 0) == 0) {
        fma_gflops(machine_isa(), 1);
    }
}

int run(const std::vector<std::string> &arguments) {
    if (arguments == std::vector<std::string>{"busy"}) {
        keep_busy();
        return 0;
    }
    if (arguments.size() == 4 && arguments[0] == "problem") {
        write_problem(arguments[1], arguments[2], arguments[3]);
        return 0;
    }
    if ((arguments.size() != 2 && arguments.size() != 3) || arguments[0] != "work") {
        throw std::runtime_error(
            "usage: aft_peers problem LAYER SHAPE FILE | aft_peers work THREADS [BLAS] | aft_peers busy");
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
