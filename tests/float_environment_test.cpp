#include "threads/float_environment.h"

#include "reference/problem.h"
#include "run.h"
#include "temporary_file.h"
#include "weights/parameters.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <cfenv>
#include <cstring>
#include <optional>

using namespace aft;

namespace {

/// The setting of a thread's floating-point unit, its flags included.
std::uint64_t state() {
#if defined(__SSE__)
    return __builtin_ia32_stmxcsr();
#elif defined(__aarch64__)
    std::uint64_t control, status;
    asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(status));
    return control << 32 | status;
#else
    return static_cast<std::uint64_t>(std::fegetround()) << 32 |
           static_cast<unsigned>(std::fetestexcept(FE_ALL_EXCEPT));
#endif
}

void flush_denormals() {
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);  // results, and operands
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{1} << 24));
#endif
}

struct Mode {
    const char *name;
    void (*set)();
};

/// Settings of programs, some of them with flags that they have yet to look at.
const Mode modes[] = {
    {"denormals flushed", flush_denormals},
    {"rounding upward", [] { std::fesetround(FE_UPWARD); }},
    {"rounding downward", [] { std::fesetround(FE_DOWNWARD); }},
    {"rounding to zero", [] { std::fesetround(FE_TOWARDZERO); }},
    {"flags", [] { std::feraiseexcept(FE_INEXACT | FE_OVERFLOW); }},
    {"exceptions trapped", [] { feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT); }},
    {"all of it",
     [] {
         std::fesetround(FE_UPWARD);
         flush_denormals();
         std::feraiseexcept(FE_DIVBYZERO);
     }},
};

/// Calls f in the environment, where it must leave no trace.
template<typename Function>
void call_in(const Mode &mode, const Function &f) {
    std::fesetenv(FE_DFL_ENV);
    mode.set();
    const std::uint64_t before = state();
    f();
    const std::uint64_t after = state();
    std::fesetenv(FE_DFL_ENV);
    INFO(mode.name);
    CHECK(after == before);
}

/// With values in the denormals' range, and enough terms for every rounding to show.
struct Case {
    Problem problem;
    Weights weights;
    std::vector<float> x, y;

    explicit Case(LayerForm form)
        : problem{{form, /*hidden=*/64, /*projected=*/32, /*max_seq_len=*/70, form.has_window() ? 9 : 0}, {5, 70}},
          weights(make_weights(problem)), x(make_input(problem)), y(x.size()) {
        for (float &w : weights.value_weight) {
            w *= 1e-38f;
        }
        weights.value_bias.clear();
        weights.project_bias.clear();
    }

    void forward(const Layer &layer) {
        const TensorView<float, 3>::Extents extents = {problem.shape.batch, problem.shape.seq, problem.config.hidden};
        layer.forward({x.data(), extents}, {y.data(), extents});
    }
};

}  // namespace

TEST_CASE("results have the same bits in every floating-point environment, which stays as it was", "[environment]") {
    for (const NamedForm &named : named_forms) {
        for (const int threads : {1, 2}) {
            if (named.form.takes_bias()) {
                continue;
            }
            Case of(named.form);
            const ThreadCount during(threads);
            const Layer layer(of.problem.config, of.weights, {"", "cpu"});
            of.forward(layer);
            const std::vector<float> expected = of.y;
            for (const Mode &mode : modes) {
                for (const bool is_first : {false, true}) {
                    if (is_first) {
                        set_thread_count(threads);  // the call is the one that starts them
                    }
                    for (int repeat = 0; repeat < 4; ++repeat) {
                        call_in(mode, [&] { of.forward(layer); });
                        REQUIRE(same_bits(of.y, expected));
                    }
                    of.forward(layer);
                    REQUIRE(same_bits(of.y, expected));
                }
            }
        }
    }
}

TEST_CASE("weights are prepared with the same bits in every floating-point environment", "[environment]") {
    for (const KernelInfo &kernel : kernels()) {
        if (!runs_by_default(kernel) || kernel.api != "cpu" || kernel.minimum.seq > 1) {
            continue;
        }
        INFO(kernel.id);
        Case of(*kernel.layer);
        of.forward(Layer(of.problem.config, of.weights, {kernel.id}));
        const std::vector<float> expected = of.y;
        for (const Mode &mode : modes) {
            std::optional<Layer> layer;
            call_in(mode, [&] { layer.emplace(of.problem.config, of.weights, LayerOptions{kernel.id}); });
            of.forward(*layer);
            REQUIRE(same_bits(of.y, expected));
        }
    }
}

TEST_CASE("weights are loaded with the same bits in every floating-point environment", "[environment]") {
    Case of(aft_full);
    SafetensorsFile file;
    std::vector<double> values;
    for (const Parameter &parameter : parameters(of.problem.config)) {
        StoredTensor tensor{"F64", parameter.extents, {}};
        values.assign((of.weights.*parameter.values).begin(), (of.weights.*parameter.values).end());
        for (double &value : values) {
            value += value * 1e-9;  // between two floats
        }
        // A bias that isn't there.
        if (values.empty()) {
            continue;
        }
        tensor.bytes.resize(values.size() * sizeof(double));
        std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
        file.tensors[parameter.tensor] = tensor;
    }
    const TemporaryFile at;
    const std::string path = at.path();
    write_safetensors(path, file);
    const Weights expected = load_weights(path, of.problem.config);
    for (const Mode &mode : modes) {
        Weights weights;
        LayerConfig config{aft_full};
        std::vector<float> query_weight;
        call_in(mode, [&] {
            config = config_from_weights(path, config);
            weights = load_weights(path, config);
            query_weight = file.tensors.at("to_q.weight").as_float();
        });
        for (const Parameter &parameter : parameters(of.problem.config)) {
            CHECK(same_bits(weights.*parameter.values, expected.*parameter.values));
        }
        CHECK(same_bits(query_weight, expected.query_weight));
    }
}

TEST_CASE("the product of a bias's factors has the same bits in every floating-point environment", "[environment]") {
    Case of(aft_full);
    const std::int64_t S = of.problem.config.max_seq_len, rank = 7;
    SafetensorsFile file;
    for (const Parameter &parameter : parameters(of.problem.config)) {
        if (parameter.domain == Domain::finite && !(of.weights.*parameter.values).empty()) {
            file.tensors[parameter.tensor] = stored_tensor(parameter.extents, of.weights.*parameter.values);
        }
    }
    const std::vector<float> factor(of.weights.position_bias.begin(), of.weights.position_bias.begin() + S * rank);
    file.tensors["wbias_u"] = file.tensors["wbias_v"] = stored_tensor({S, rank}, factor);
    const Weights expected = load_weights(file, of.problem.config);
    for (const Mode &mode : modes) {
        Weights weights;
        call_in(mode, [&] { weights = load_weights(file, of.problem.config); });
        CHECK(same_bits(weights.position_bias, expected.position_bias));
    }
}
