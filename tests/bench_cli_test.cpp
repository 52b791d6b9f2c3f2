#include "command_line.h"
#include "kernels/selector.h"
#include "reference/benchmark_problems.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <string>

using namespace aft;

TEST_CASE("aft bench tells kernels of the exact algorithm from others of their schedule", "[cli]") {
    for (const std::string schedule : {"packed", "exact"}) {
        const Outcome outcome = aft_cli("bench --layer full --shape 1,4,4,4 --min-time 0.001 --device cpu --format csv "
                                        "--schedule " +
                                        schedule);
        if (std::none_of(kernels().begin(), kernels().end(),
                         [&](const KernelInfo &kernel) { return kernel.api == "cpu" && label(kernel) == schedule; })) {
            continue;  // left out by AFT_SCHEDULES
        }
        INFO(outcome.err);
        CHECK(outcome.exit_code == 0);
        CHECK((outcome.out.find("aft_full_cpu_exact") != std::string::npos) == (schedule == "exact"));
        CHECK((outcome.out.find(",exact,packed,") != std::string::npos) == (schedule == "exact"));
        CHECK((outcome.out.find(",dense,packed,") != std::string::npos) == (schedule == "packed"));
    }
}

TEST_CASE("aft bench measures every kernel of a device", "[cli]") {
    for (const Device &device : devices()) {
        if (!device.usable) {
            continue;
        }
        INFO(device.id);
        const Outcome outcome =
            aft_cli("bench --layer simple --shape 2,65,24,24 --min-time 0.001 --format csv --device " + device.id);
        INFO(outcome.err);
        CHECK(outcome.exit_code == 0);
        for (const KernelInfo &kernel : kernels()) {
            const Problem problem{{aft_simple, 24, 24, 65, 0}, {2, 65}};
            if (kernel.api == device.api && can_run(kernel, problem)) {
                INFO(kernel.id);
                CHECK(outcome.out.find(kernel.id + "," + device.id) != std::string::npos);
            }
        }
    }
}

TEST_CASE("aft bench measures every kernel of the parts of layers on a device", "[cli]") {
    for (const Device &device : devices()) {
        if (!device.usable) {
            continue;
        }
        const std::string command =
            "bench --form linear --form core --form scan --shape 2,65,24,24,9 --min-time 0.001 --format csv --device ";
        const Outcome outcome = aft_cli(command + device.id);
        INFO(device.id << ": " << outcome.err);
        CHECK(outcome.exit_code == 0);
        for (const NamedForm &named : named_forms) {
            const Problem whole{{named.form, 24, 24, 65, named.form.has_window() ? 9 : 0}, {2, 65}};
            for (const BenchmarkProblem &problem : {projection_alone(whole), mean_alone(whole)}) {
                for (const KernelInfo &kernel : kernels()) {
                    if (kernel.api == device.api && judge(kernel, problem).fit != Fit::none) {
                        INFO(kernel.id);
                        const std::string layer = is_projection(problem) ? "" : std::string(named.name);
                        CHECK(outcome.out.find("\n" + kernel.id + "," + device.id + "," + problem.operation + "," +
                                               layer + ",") != std::string::npos);
                    }
                }
            }
        }
    }
}

TEST_CASE("aft bench measures the composed layers, calls and steps of a form, and its mean alone", "[cli]") {
    const Outcome outcome = aft_cli("bench --form causal_full --quick --min-time 0.001 --device cpu --format csv");
    INFO(outcome.err);
    CHECK(outcome.exit_code == 0);
    const auto has = [&](const std::string &row) { return outcome.out.find("\n" + row) != std::string::npos; };
    const std::string layer = "layer,cpu,forward,causal_full,,layer,";
    CHECK(has(layer + "1,64,,64,64,,,"));
    CHECK(has(layer + "4,65,,64,64,,mask of sources,"));
    CHECK(has(layer + "4,65,,64,64,,lengths,"));
    CHECK(has(layer + "1,65,,64,64,,step of 1,"));
    CHECK(outcome.out.find(",core,causal_full,") != std::string::npos);
    CHECK(outcome.out.find(",linear,") == std::string::npos);
    CHECK(outcome.out.find("wkv") == std::string::npos);
    const Outcome layers = aft_cli("bench --layer wkv --shape 1,5,4,4 --min-time 0.001 --device cpu --format json");
    INFO(layers.err);
    CHECK(layers.exit_code == 0);
    CHECK(layers.out.find("\"kernel\": \"layer\"") != std::string::npos);
    CHECK(layers.out.find("\"operation\": \"scan\"") == std::string::npos);
}

TEST_CASE("aft bench compares a causal core with the bidirectional one, and a step with its floor", "[cli]") {
    const Outcome cores = aft_cli("bench --form core --shape 1,40,8,8 --min-time 0.001 --device cpu");
    INFO(cores.out << cores.err);
    CHECK(cores.exit_code == 0);
    const std::size_t causal = cores.out.find("\nAFT core causal_full,");
    REQUIRE(causal != std::string::npos);
    CHECK(cores.out.find(" x bidirectional\n", causal) < cores.out.find("\nAFT core given,"));
    const Outcome steps = aft_cli("bench --layer conv --quick --min-time 0.001 --device cpu");
    INFO(steps.out << steps.err);
    CHECK(steps.exit_code == 0);
    const std::size_t step = steps.out.find("step of 1");
    REQUIRE(step != std::string::npos);
    CHECK(steps.out.find("  floor ", step) != std::string::npos);
}

TEST_CASE("aft bench measures a BLAS that is there, tells of one that isn't, and marks a wrong one", "[cli]") {
    if (!std::filesystem::exists(AFT_FAKE_BLAS)) {
        SKIP("the tests don't run where they were built");
    }
    const std::string bench = "bench --layer simple --schedule packed --shape 2,65,24,24 --min-time 0.001 --device cpu "
                              "--blas --format json",
                      without_onednn = "AFT_ONEDNN=/nowhere ", fake = "AFT_OPENBLAS=" AFT_FAKE_BLAS " ";
    const auto has = [](const Outcome &outcome, const std::string &text) {
        return outcome.out.find(text) != std::string::npos;
    };
    const Outcome without = aft_cli(bench, without_onednn + "AFT_OPENBLAS=/nowhere");
    CHECK(without.exit_code == 0);
    CHECK(has(without, "OpenBLAS not measured: /nowhere"));
    CHECK(has(without, "oneDNN not measured: /nowhere"));
    CHECK(has(without, "\"percent_of_blas\": null"));

    const Outcome with = aft_cli(bench, without_onednn + fake);
    INFO(with.err);
    CHECK(with.exit_code == 0);
    CHECK(has(with, "OpenBLAS 9.8.7 (Fake)"));
    CHECK(has(with, "\"kernel\": \"openblas_sgemm\""));
    const std::size_t percent = with.out.find("\"percent_of_blas\": ");
    CHECK(std::stod(with.out.substr(percent + 19)) > 0);

    const Outcome wrong = aft_cli(bench, without_onednn + fake + "FAKE_BLAS_WRONG=1");
    CHECK(wrong.exit_code == 1);
    CHECK(is_one_line(wrong.err.substr(wrong.err.find("aft: "))));
    CHECK(wrong.err.find("openblas_sgemm") != std::string::npos);
    CHECK(has(wrong, "WRONG"));
}
