// aft_derived           prints the tables of docs/derived-gradients.md; takes minutes
// aft_derived --check   checks the first one, and the derived gradients of AFTSimple's definition

#include "derived.h"

#include "reference/gradients.h"
#include "tests/core_steps.h"

#include <aft/aft.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

using namespace aft;
using namespace aft::derived;

namespace {

/// Halide warns of each gradient that it drops.
class Quiet : public Halide::CompileTimeErrorReporter {
    void warning(const char * /*message*/) override {}
    [[noreturn]] void error(const char *message) override {
        throw Halide::CompileError(message);
    }
};

Halide::Buffer<float> view(std::vector<float> &values, const std::vector<int> &extents) {
    return Halide::Buffer<float>(values.data(), extents);
}

/// A mean in training, for the library and for Halide.
struct TrainedMean : Problem {
    Weights weights;
    StepTensors tensors;
    Mean mean;
    std::vector<std::vector<double>> right;  // the gradients of keys, values and bias

    TrainedMean(const std::string &form, int B, int T, int P)
        : Problem{{layer_form(form), 0, P, T, /*window=*/9}, {B, T}} {
        LayerForm &of = config.form;
        of.gate = Gate::none;
        weights = make_weights(*this);
        tensors = tensors_of(*this, CoreTraining(config).saved_size(shape));
        const Gradients gradients = reference_core_gradients(config, weights, tensors.call.core, tensors.dy);
        right = {gradients.key.output, gradients.value.output, gradients.position_bias.output};
        std::vector<float> &w = weights.position_bias;
        w.resize(static_cast<std::size_t>(T) * T);
        mean = {of.has_bias(),
                of.has_window(),
                of.is_causal(),
                static_cast<int>(config.window),
                view(tensors.call.key, {P, T, B}),
                view(tensors.call.value, {P, T, B}),
                view(tensors.dy, {P, T, B}),
                view(w, {T, T})};
    }
};

/// A step by kernels of the library: the result with what it saves, and the gradients.
class Library : public Contestant {
public:
    Library(TrainedMean &of, const std::string &schedule) : of_(of) {
        const bool has_bias = of.mean.has_bias, has_pairs = has_bias || of.mean.is_causal;
        const auto add = [&](const char *operation, const CoreGradients &gradients) {
            const std::string id = std::string("aft_") + operation + (has_pairs ? "_given" : "_simple") + "_cpu_";
            parts_.emplace_back(CoreTraining(of.config, {id + schedule}), gradients);
        };
        CoreGradients of_sources = of.tensors.gradients, of_bias;
        std::swap(of_sources.position_bias, of_bias.position_bias);
        if (has_pairs) {
            add("core_training", {});
        }
        add("core_gradients", of_sources);
        Step &to = of.tensors.results;
        const int P = of.mean.k.dim(0).extent(), T = of.mean.k.dim(1).extent(), B = of.mean.k.dim(2).extent();
        results = {view(to.key, {P, T, B}), view(to.value, {P, T, B})};
        if (has_bias) {
            add("bias_gradients", of_bias);
            results.push_back(view(to.position_bias, {T, T}));
        }
    }
    void run() override {
        StepTensors &tensors = of_.tensors;
        const CoreCall &call = tensors.call.core;
        const CoreParameters parameters = parameters_of(of_, of_.weights);
        const auto saved_size = static_cast<std::int64_t>(tensors.saved.size());
        for (const auto &[core, gradients] : parts_) {
            if (gradients.key.data || gradients.position_bias.data) {
                core.backward(parameters, call, {tensors.dy.data(), targets_of(of_)},
                              {tensors.saved.data(), {saved_size}}, gradients);
            } else {
                core.forward(parameters, call, {tensors.results.y.data(), targets_of(of_)},
                             {tensors.saved.data(), {saved_size}});
            }
        }
    }

private:
    TrainedMean &of_;
    std::vector<std::pair<CoreTraining, CoreGradients>> parts_;
};

/// Prints the largest error of each gradient, relative to its largest element. Returns whether all are small.
bool print_errors(const TrainedMean &of, const Contestant &contestant) {
    bool are_small = true;
    for (std::size_t i = 0; i < contestant.results.size(); ++i) {
        double error = 0, largest = 0;
        for (std::size_t j = 0; j < of.right[i].size(); ++j) {
            const double each = std::abs(contestant.results[i].begin()[j] - of.right[i][j]);
            error = std::isnan(each) || each > error ? each : error;  // a NaN stays
            largest = std::max(largest, std::abs(of.right[i][j]));
        }
        std::printf(" %8.1e", error / largest);
        are_small = are_small && error <= 1e-5 * largest;
    }
    std::printf("\n");
    std::fflush(stdout);
    return are_small;
}

bool check(const char *form, const std::string &name, const std::function<GradientFuncs(const Mean &)> &method) {
    const TrainedMean of(form, 3, 70, 20);
    std::printf("%-14s %-28s", form, name.c_str());
    try {
        Compiled compiled(of.mean, method(of.mean), "naive");
        compiled.run();
        return print_errors(of, compiled);
    } catch (const Halide::Error &error) {
        std::printf(" %s", error.what());
    }
    return false;
}

void print_errors_of_forms() {
    std::printf("\nlargest errors of the gradients of keys, values and bias\n");
    for (const Algorithm &algorithm : library_algorithms()) {
        for (const bool maxima_are_values : {false, true}) {
            check(algorithm.form, algorithm.name + std::string(maxima_are_values ? ", maxima as values" : ""),
                  [&](const Mean &mean) { return algorithm.derive(mean, maxima_are_values); });
        }
    }
    for (const char *form : {"simple", "full", "local", "causal_full", "causal_simple"}) {
        check(form, "definition", derived_from_definition);
        check(form, "formulas", written_formulas);
    }
}

/// In turn; processor time, as other processes may run.
void print_times(const char *form, int B, int T, int P) {
    std::printf("\n%s B %d, T %d, P %d: ms of a step, the least and the median; errors\n", form, B, T, P);
    TrainedMean of(form, B, T, P);
    std::vector<std::pair<std::string, std::unique_ptr<Contestant>>> contestants;
    const auto add = [&](const std::string &name, std::unique_ptr<Contestant> contestant) {
        try {
            contestant->run();
            contestants.emplace_back(name, std::move(contestant));
        } catch (const std::exception &error) {
            std::printf("%s: %s\n", name.c_str(), error.what());
        }
    };
    for (const std::string schedule : {"packed", "naive"}) {
        add("library, " + schedule, std::make_unique<Library>(of, schedule));
    }
    for (const std::string schedule : {"naive", "Li2018", "Mullapudi2016", "Adams2019"}) {
        add("formulas, " + schedule, std::make_unique<Compiled>(of.mean, written_formulas(of.mean), schedule));
        add("derived, " + schedule, std::make_unique<Compiled>(of.mean, derived_from_definition(of.mean), schedule));
    }
    std::vector<std::vector<double>> times(contestants.size());
    for (int round = 0; round < 5; ++round) {
        for (std::size_t i = 0; i < contestants.size(); ++i) {
            const std::clock_t begin = std::clock();
            contestants[i].second->run();
            times[i].push_back(1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
        }
    }
    for (std::size_t i = 0; i < contestants.size(); ++i) {
        std::sort(times[i].begin(), times[i].end());
        std::printf("%-24s %9.2f %9.2f ", contestants[i].first.c_str(), times[i][0], times[i][2]);
        contestants[i].second->run();  // the library's steps share their results
        print_errors(of, *contestants[i].second);
    }
}

/// Whether the constructs give what is documented, and the simplest mean has the library's gradients.
bool is_as_documented() {
    const bool constructs = print_constructs(), derived = check("simple", "definition", derived_from_definition);
    TrainedMean of("simple", 3, 70, 20);
    Library library(of, "packed");
    library.run();
    std::printf("%-14s %-28s", "simple", "library");
    return print_errors(of, library) && derived && constructs;
}

}  // namespace

int main(int argc, char ** /*argv*/) {
    setenv("HL_NUM_THREADS", "1", 1);
    set_thread_count(1);
    Quiet quiet;
    Halide::set_custom_compile_time_error_reporter(&quiet);
    if (argc > 1) {
        return is_as_documented() ? 0 : 1;
    }
    print_constructs();
    print_errors_of_forms();
    for (const char *autoscheduler : {AFT_LI2018, AFT_MULLAPUDI2016, AFT_ADAMS2019}) {
        Halide::load_plugin(autoscheduler);
    }
    print_times("full", 4, 1024, 256);
    print_times("full", 4, 256, 128);
    print_times("simple", 4, 1024, 256);
}
