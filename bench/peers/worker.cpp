// What of scripts/bench-peers is C++.
//
//     aft_peers problem LAYER B,T,H,P[,s] FILE  writes a problem with its reference
//     aft_peers work THREADS [BLAS]             runs `aft::Layer`, or with the path of a BLAS the layer as products on
//     it
//
// A worker answers each line of JSON on standard input with one on standard output, {"error": ...} if it can't:
//
//     {"problem": FILE}                 loads it
//     {"form": FORM, "output": FILE}    calls once: {"seconds": it took, "kernel": of ours}; y, float32, is in the file
//     {"form": FORM, "calls": N}        calls N times after N / 10 + 1 to warm up: {"seconds": one took}

#include "gemm_layer.h"
#include "problem_file.h"

#include <aft/aft.h>

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using nlohmann::json;

namespace aft::bench {

namespace {

struct Loaded {
    LayerConfig config;
    Shape shape;
    Weights weights;
    std::vector<float> x, y;

    explicit Loaded(const std::string &path) {
        const SafetensorsFile file = read_safetensors(path);
        const StoredTensor &input = file.tensors.at("input");
        x = input.as_float();
        y.assign(x.size(), std::numeric_limits<float>::quiet_NaN());
        shape = {input.extents[0], input.extents[1]};
        config.kind = layer_kind(file.metadata.at("layer"));
        config.window = std::stoll(file.metadata.at("window"));
        config.max_seq_len = shape.seq;
        config = config_from_weights(path, config);
        weights = load_weights(path, config);
    }
};

class Worker {
public:
    Worker(int threads, const std::string &blas) {
        set_thread_count(threads);
        if (!blas.empty()) {
            sgemm_ = load_sgemm(blas);
        }
    }

    json answer(const json &request) {
        if (request.contains("problem")) {
            forms_.clear();
            loaded_ = std::make_unique<Loaded>(request.at("problem"));
            return json::object();
        }
        if (!loaded_) {
            throw std::runtime_error("no problem is loaded");
        }
        const Form &form = this->form(request.at("form"));
        if (request.contains("output")) {
            const double seconds = seconds_of(form, 1);
            std::ofstream file(request.at("output").get<std::string>(), std::ios::binary);
            file.write(reinterpret_cast<const char *>(loaded_->y.data()), loaded_->y.size() * sizeof(float));
            if (!file.flush()) {
                throw std::runtime_error("can't write y");
            }
            return {{"seconds", seconds}, {"kernel", form.kernel}};
        }
        const int calls = request.at("calls");
        seconds_of(form, calls / 10 + 1);
        return {{"seconds", seconds_of(form, calls)}};
    }

private:
    struct Form {
        std::function<void()> call;
        std::string kernel;
    };

    static double seconds_of(const Form &form, int calls) {
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < calls; ++i) {
            form.call();
        }
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
    }

    const Form &form(const std::string &name) {
        const auto found = forms_.find(name);
        return found != forms_.end() ? found->second : forms_[name] = make(name);
    }

    Form make(const std::string &name) const {
        Loaded &loaded = *loaded_;
        if (sgemm_) {
            const auto layer =
                std::make_shared<GemmLayer>(sgemm_, loaded.config, loaded.weights, loaded.shape, name == "banded");
            return {[layer, &loaded] { layer->forward(loaded.x.data(), loaded.y.data()); }, ""};
        }
        LayerOptions options;
        options.device = "cpu";
        const auto layer = std::make_shared<const Layer>(loaded.config, loaded.weights, options);
        const std::array<std::int64_t, 3> extents{loaded.shape.batch, loaded.shape.seq, loaded.config.hidden};
        return {[layer, extents, &loaded] { layer->forward({loaded.x.data(), extents}, {loaded.y.data(), extents}); },
                layer->kernel_for(loaded.shape).id};
    }

    Sgemm sgemm_;
    std::unique_ptr<Loaded> loaded_;
    std::map<std::string, Form> forms_;
};

Problem problem(const std::string &layer, const std::string &shape) {
    Problem problem;
    long long B, T, H, P, s = 0;
    if (std::sscanf(shape.c_str(), "%lld,%lld,%lld,%lld,%lld", &B, &T, &H, &P, &s) < 4) {
        throw std::runtime_error("'" + shape + "' isn't B,T,H,P or B,T,H,P,s");
    }
    problem.config = {layer_kind(layer), H, P, T, s};
    problem.shape = {B, T};
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
    std::optional<Worker> worker;
    for (std::string line; std::getline(std::cin, line);) {
        json answer;
        try {
            if (!worker) {
                worker.emplace(std::stoi(arguments[1]), arguments.size() == 3 ? arguments[2] : "");
            }
            answer = worker->answer(json::parse(line));
        } catch (const std::exception &error) {
            answer = {{"error", error.what()}};
        }
        std::cout << answer.dump() << std::endl;
    }
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
