#include "child.h"
#include "run.h"
#include "tuned_kernel.h"

#include "reference/reference.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

using Json = nlohmann::json;

const LayerOptions on_cpu{/*kernel=*/"", /*device=*/"cpu"};

const std::string wisdom_id = "wisdom_full_cpu_tuned_b3_t33_h17_p13_";

/// The output of `aft run` for a case, whose result must be right.
std::string kernel_that_runs(const std::string &golden_name, const std::string &environment) {
    const Golden golden = golden_named(golden_name);
    const Folder folder;
    const Outcome outcome = aft_cli("run " + golden.path + " --device cpu --layer full --input " + golden.path +
                                        ":input --output " + (folder / "y"),
                                    environment);
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK(outcome.err.empty());
    CHECK(golden_error(golden, read_safetensors(folder / "y").tensors.at("output").as_float()) <= 1);
    return outcome.out;
}

/// The row of the first loaded kernel in the list of a process with AFT_WISDOM.
Json listed(const TunedKernel &tuned) {
    const Outcome outcome = aft_cli("kernels --format json", "AFT_WISDOM=" + tuned.file);
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    const Json rows = Json::parse(outcome.out)["kernels"];
    CHECK(rows[0]["kernel"].get<std::string>().rfind(wisdom_id, 0) == 0);
    CHECK(rows[1]["kernel"].get<std::string>().rfind("aft_", 0) == 0);
    return rows[0];
}

}  // namespace

TEST_CASE("another process runs a tuned kernel at its shape, and the build's kernels at others", "[wisdom]") {
    const TunedKernel tuned;
    const std::string environment = "AFT_WISDOM=" + tuned.file;
    CHECK_THAT(kernel_that_runs("aftp_full_k40", environment), StartsWith(wisdom_id));
    CHECK_THAT(kernel_that_runs("aftp_full_small", environment), StartsWith("aft_full_cpu_"));
    CHECK_THAT(kernel_that_runs("aftp_full_k40", ""), StartsWith("aft_full_cpu_"));
    const Json row = listed(tuned);
    CHECK(row["usable"] == true);
    CHECK(row["preferred"]["seq"] == Json{17, 66});
    CHECK(row["preferred"]["hidden"] == Json{17, 17});
    const std::string id = row["kernel"];
    CHECK(id == wisdom_id + tuned.json()["results"][0]["library"]["sha256"].get<std::string>().substr(0, 8));
    CHECK_THAT(kernel_that_runs("aftp_full_small", environment + " AFT_KERNEL=" + id), StartsWith(id));
}

TEST_CASE("layers that are made after load_kernels() prefer its kernels, and agree with the reference",
          "[wisdom][fork]") {
    const TunedKernel tuned;
    const Problem problem = tuned_problem();
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
    const Layer before(problem.config, weights, on_cpu);
    const std::vector<KernelInfo> &kernels_before = kernels();
    const auto prefers_loaded = [&] {
        load_kernels(tuned.file);
        load_kernels(tuned.file);  // adds nothing
        const Layer layer(problem.config, weights, on_cpu);
        const std::string id = layer.kernel_for(problem.shape).id;
        return id.rfind(wisdom_id, 0) == 0 && error_in_tolerances(reference, run(layer, x, problem.shape)) <= 1 &&
               layer.kernel_for({9, problem.config.max_seq_len}).id == id && layer.kernel_for({3, 17}).id == id &&
               layer.kernel_for({3, 16}).id != id && before.kernel_for(problem.shape).id != id &&
               error_in_tolerances(reference, run(before, x, problem.shape)) <= 1 &&
               kernels().size() == kernels_before.size() + 1 && kernels().front().id == id &&
               kernels_before.front().id != id;
    };
    CHECK(holds_in_child(prefers_loaded));
    LayerConfig wider = problem.config;
    wider.hidden = 18;
    const Weights weights_of_wider = make_weights({wider, problem.shape});
    const auto leaves_other_widths = [&] {
        load_kernels(tuned.file);
        return Layer(wider, weights_of_wider, on_cpu).kernel_for(problem.shape).id.rfind("aft_", 0) == 0;
    };
    CHECK(holds_in_child(leaves_other_widths));
    const auto loads_in_c = [&] {
        const aft_kernel_info *kernel = nullptr;
        return aft_load_kernels(tuned.file.c_str()) == AFT_OK && aft_kernel_at(0, &kernel) == AFT_OK &&
               std::string(kernel->id).rfind(wisdom_id, 0) == 0 && kernel->usable == 1;
    };
    CHECK(holds_in_child(loads_in_c));
}

TEST_CASE("kernels may be loaded while other threads make layers", "[wisdom][fork]") {
    const TunedKernel tuned;
    const Problem problem = tuned_problem();
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
    const auto is_right_throughout = [&] {
        std::atomic<int> wrong = 0;
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([&, i] {
                if (i % 4 == 0) {
                    load_kernels(tuned.file);
                }
                for (int repeat = 0; repeat < 10; ++repeat) {
                    const Layer layer(problem.config, weights, on_cpu);
                    wrong += !(error_in_tolerances(reference, run(layer, x, problem.shape)) <= 1);
                    wrong += i % 4 == 0 && layer.kernel_for(problem.shape).id.rfind(wisdom_id, 0) != 0;
                }
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        return wrong == 0 && std::count_if(kernels().begin(), kernels().end(), [](const KernelInfo &kernel) {
                                 return kernel.id.rfind(wisdom_id, 0) == 0;
                             }) == 1;
    };
    CHECK(holds_in_child(is_right_throughout));
}

TEST_CASE("two copies of the library in a process run the same kernel", "[wisdom][fork]") {
    const Problem problem{{aft_full, 48, 48, 70, 0}, {4, 70}};  // that of the plugin
    const TunedKernel tuned(problem);
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
    const Environment environment("AFT_WISDOM", tuned.file);
    const auto is_right_with_plugins = [&] {
        load_kernels(tuned.file);
        const Layer layer(problem.config, weights, on_cpu);
        const auto is_right = [&] { return error_in_tolerances(reference, run(layer, x, problem.shape)) <= 1; };
        bool right = layer.kernel_for(problem.shape).id.rfind("wisdom_", 0) == 0 && is_right();
        for (int repeat = 0; repeat < 3; ++repeat) {  // the plugin is another one each time, the kernel stays
            void *plugin = dlopen(AFT_PLUGIN, RTLD_NOW | RTLD_LOCAL);
            const auto run_plugin = reinterpret_cast<int (*)(int)>(dlsym(plugin, "aft_plugin_run"));
            const auto list = reinterpret_cast<int (*)(char *, std::size_t)>(dlsym(plugin, "aft_plugin_list"));
            std::vector<char> text(1 << 20);
            right = right && run_plugin(2) == 1 && list(text.data(), text.size()) == 1 &&
                    std::string(text.data()).rfind("wisdom_full_cpu_tuned_b4_t70_h48_p48_", 0) == 0 && is_right();
            dlclose(plugin);
            right = right && is_right();
        }
        return right;
    };
    CHECK(holds_in_child(is_right_with_plugins));
}

TEST_CASE("kernels that don't fit the machine or the library are listed with the reason", "[wisdom]") {
    struct Change {
        std::string pointer;
        Json value;
        std::string reason;
    };
    const std::string target = TunedKernel().json()["results"][0]["target"], cpu = TunedKernel::device_name();
    for (const Change &change :
         {Change{"/cpu", "Other CPU", "was tuned on Other CPU, this is " + cpu},
          Change{"/results/0/library/abi", 0, "has kernel ABI 0, this library has 1: tune again"},
          Change{"/results/0/target", target + "-future_feature", "this CPU lacks future_feature"}}) {
        const TunedKernel tuned;
        tuned.set(change.pointer, change.value);
        std::filesystem::remove(tuned.library());  // it isn't looked at
        const Json row = listed(tuned);
        CHECK(row["usable"] == false);
        CHECK(row["reason"] == change.reason);
        CHECK_THAT(kernel_that_runs("aftp_full_k40", "AFT_WISDOM=" + tuned.file), StartsWith("aft_full_cpu_"));
        const Golden golden = golden_named("aftp_full_k40");
        const Outcome named = aft_cli("run " + golden.path + " --device cpu --layer full --input " + golden.path +
                                          ":input --output " + (tuned.folder / "y"),
                                      "AFT_WISDOM=" + tuned.file + " AFT_KERNEL=" + row["kernel"].get<std::string>());
        CHECK(named.exit_code == 2);
        CHECK_THAT(named.err, ContainsSubstring("can't run here: " + change.reason));
    }
}

TEST_CASE("a process whose AFT_WISDOM is refused says so for each layer, and lists its devices", "[wisdom]") {
    const TunedKernel tuned;
    std::ofstream(tuned.file) << "no JSON";
    const Golden golden = golden_named("aftp_full_k40");
    const std::string environment = "AFT_WISDOM=" + tuned.file;
    for (const std::string &command : {"run " + golden.path + " --device cpu --layer full --input " + golden.path +
                                           ":input --output " + (tuned.folder / "y"),
                                       std::string("kernels")}) {
        const Outcome outcome = aft_cli(command, environment);
        CHECK(outcome.exit_code == 2);
        CHECK(is_one_line(outcome.err));
        CHECK_THAT(outcome.err, ContainsSubstring(tuned.file + ": not JSON at byte 2 (from AFT_WISDOM)"));
    }
    CHECK(aft_cli("devices", environment).exit_code == 0);
    CHECK_THAT(kernel_that_runs("aftp_full_k40", "AFT_WISDOM="), StartsWith("aft_full_cpu_"));
}
