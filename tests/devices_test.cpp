#include "devices/cpu_features.h"
#include "devices/devices.h"
#include "faults.h"
#include "halide/halide.h"
#include "kernels/device.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

const Problem small{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};

Layer make_layer(const std::string &device, const std::string &kernel = "") {
    return Layer(small.config, make_weights(small), {kernel, device});
}

/// The position in the order of choice.
int rank(const Device &device) {
    return device.name.empty() ? 3 : device.is_gpu ? 0 : device.api == "cpu" ? 1 : 2;
}

/// The first kernel by hand on each API that can run here, but for the CPU's.
std::vector<KernelInfo> device_kernels() {
    std::vector<KernelInfo> found;
    std::set<std::string> apis = {"cpu"};
    for (const KernelInfo &kernel : kernels()) {
        if (can_run(kernel, small) && apis.insert(kernel.api).second) {
            found.push_back(kernel);
        }
    }
    return found;
}

}  // namespace

#ifdef __x86_64__
TEST_CASE("kernels in bfloat16 for a matrix unit are refused where the system refuses its registers", "[devices]") {
    const std::string target = "x86-64-linux-avx512_sapphirerapids";
    const DriverDevice cpu = find_devices("cpu", {"x86-64-linux"}).front();
    const bool has_unit = missing_cpu_features(target).empty();
    {
        const SystemFault refusal(SystemCall::arch_prctl, ENOSPC);
        CHECK_FALSE(may_use_matrix_unit());
        CHECK(refusal.failures() == 1);
        if (has_unit) {
            CHECK(obstacle(cpu, target, "bfloat16") == "the operating system refuses the registers of AMX");
            CHECK(obstacle(cpu, target, "float32").empty());
        }
    }
    CHECK((may_use_matrix_unit() || !has_unit));
}
#endif

TEST_CASE("every device has an id of its own and says why it can't be used", "[devices]") {
    std::set<std::string> ids;
    for (const Device &device : devices()) {
        INFO(device.id);
        CHECK(ids.insert(device.id).second);
        CHECK(device.usable == device.reason.empty());
        CHECK((device.id == device.api ? device.api == "cpu" : device.id.rfind(device.api + ":", 0) == 0));
        CHECK((!device.usable || (!device.name.empty() && device.memory > 0)));
        CHECK(device.reason.find('\n') == std::string::npos);
    }
    CHECK(std::is_sorted(devices().begin(), devices().end(),
                         [](const Device &a, const Device &b) { return rank(a) < rank(b); }));
}

TEST_CASE("the devices are those of the APIs that the build has kernels for", "[devices]") {
    std::set<std::string> of_kernels, of_devices;
    for (const KernelInfo &kernel : kernels()) {
        of_kernels.insert(kernel.api);
    }
    for (const Device &device : devices()) {
        of_devices.insert(device.api);
    }
    CHECK(of_devices == of_kernels);
}

TEST_CASE("a kernel is usable when a device of its API is", "[devices]") {
    for (const KernelInfo &kernel : kernels()) {
        INFO(kernel.id);
        const bool usable = std::any_of(driver_devices().begin(), driver_devices().end(), [&](const auto *device) {
            return device->info.api == kernel.api && device->info.usable && obstacle(*device, kernel.target).empty();
        });
        CHECK(kernel.usable == usable);
        CHECK(kernel.usable == kernel.reason.empty());
    }
}

TEST_CASE("what a kernel's target asks of a device is checked", "[devices]") {
    DriverDevice cuda;
    cuda.info.api = "cuda";
    cuda.version = 75;
    CHECK(obstacle(cuda, "x86-64-linux-cuda-cuda_capability_80") == "has compute capability 7.5, not 8.0");
    cuda.version = 120;
    CHECK(obstacle(cuda, "x86-64-linux-cuda-cuda_capability_80").empty());
    CHECK(obstacle(cuda, "x86-64-linux-avx1024-cuda-cuda_capability_80") == "this CPU lacks avx1024");
    cuda.problem = "is broken";
    CHECK(obstacle(cuda, "x86-64-linux-cuda-cuda_capability_80") == "is broken");
    DriverDevice vulkan;
    vulkan.info.api = "vulkan";
    vulkan.version = 12;
    CHECK(obstacle(vulkan, "x86-64-linux-vulkan-vk_v13") == "has Vulkan 1.2, not 1.3");
    vulkan.version = 13;
    CHECK(obstacle(vulkan, "x86-64-linux-vulkan-vk_v13-vk_int8").empty());
    vulkan.byte_problem = "has no bytes";
    CHECK(obstacle(vulkan, "x86-64-linux-vulkan-vk_int8-vk_v13") == "has no bytes");
    CHECK(obstacle(vulkan, "x86-64-linux-vulkan-vk_v13").empty());
}

TEST_CASE("a usable device of OpenCL or Vulkan runs every kernel, but for those of bytes that it lacks", "[devices]") {
    for (const KernelInfo &kernel : kernels()) {
        for (const DriverDevice *device : driver_devices()) {
            const bool is_of_api = device->info.api == kernel.api && (kernel.api == "opencl" || kernel.api == "vulkan");
            if (is_of_api && device->info.usable) {
                INFO(kernel.id);
                const std::string why_not = obstacle(*device, kernel.target);
                CHECK((why_not.empty() || why_not == device->byte_problem));
            }
        }
    }
}

TEST_CASE("a device that is unknown is refused with those that are known", "[devices]") {
    for (const std::string device : {"tpu:0", "opencl:99", "cuda:", "CPU"}) {
        CHECK_THROWS_AS(make_layer(device), ConfigError);
        CHECK_THROWS_WITH(make_layer(device), ContainsSubstring("'" + device + "'") && ContainsSubstring("cpu"));
    }
}

TEST_CASE("a device that can't be used is refused with the reason", "[devices]") {
    for (const Device &device : devices()) {
        if (!device.usable) {
            CHECK_THROWS_AS(make_layer(device.id), DeviceError);
            CHECK_THROWS_WITH(make_layer(device.id), ContainsSubstring(device.id) && ContainsSubstring(device.reason));
        }
    }
}

TEST_CASE("a layer lives on the device that is forced, or on the forced kernel's", "[devices]") {
    for (const Device &device : devices()) {
        if (device.usable) {
            INFO(device.id);
            CHECK(make_layer(device.id).device().id == device.id);
            CHECK(make_layer(device.api).device().api == device.api);
            const Environment forced("AFT_DEVICE", device.id);
            CHECK(make_layer("").device().id == device.id);
            CHECK(make_layer("cpu").device().id == "cpu");
        }
    }
    for (const KernelInfo &kernel : device_kernels()) {
        CHECK(make_layer("", kernel.id).device().api == kernel.api);
        CHECK(make_layer(kernel.api, kernel.id).kernel_for(small.shape).id == kernel.id);
    }
}

TEST_CASE("a kernel and a device that don't fit each other are refused", "[devices]") {
    for (const KernelInfo &kernel : device_kernels()) {
        CHECK_THROWS_AS(make_layer("cpu", kernel.id), ConfigError);
        CHECK_THROWS_WITH(make_layer("cpu", kernel.id),
                          "kernel " + kernel.id + " is for " + kernel.api + ", not for device cpu");
        const Environment device("AFT_DEVICE", "cpu"), forced("AFT_KERNEL", kernel.id);
        CHECK_THROWS_AS(make_layer(""), ConfigError);
    }
}

TEST_CASE("a driver that runs on the CPU is never chosen unasked", "[devices]") {
    const Device &chosen = make_layer("").device();
    CHECK((chosen.is_gpu || chosen.api == "cpu"));
}

TEST_CASE("results are right for buffers of any size", "[devices]") {
    for (const KernelInfo &kernel : device_kernels()) {
        for (std::int64_t batch = 1; batch <= 3; ++batch) {
            for (const std::int64_t seq : {1, 2, 5, 7}) {
                for (const std::int64_t hidden : {1, 5, 8, 13}) {
                    const Problem problem{{*kernel.layer, hidden, 9, seq, 0}, {batch, seq}};
                    INFO(kernel.id << " on " << describe(problem));
                    const Weights weights = make_weights(problem);
                    const std::vector<float> x = make_input(problem);
                    const Layer layer(problem.config, weights, {kernel.id});
                    const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
                    for (int repeat = 0; repeat < 3; ++repeat) {  // memory is used again
                        CHECK(error_in_tolerances(reference, run(layer, x, problem.shape)) <=
                              allowed_tolerances(kernel));
                    }
                }
            }
        }
    }
}

TEST_CASE("time-major tensors go to a device and come back", "[devices]") {
    for (const KernelInfo &kernel : device_kernels()) {
        INFO(kernel.id);
        const Layer layer = make_layer("", kernel.id);
        const std::vector<float> x = make_input(small), expected = run(layer, x, small.shape);
        std::vector<float> from(x.size()), to(x.size());
        const auto at = [](std::size_t i) { return i % (17 * 12) / 12 * 24 + i / (17 * 12) * 12 + i % 12; };
        for (std::size_t i = 0; i < x.size(); ++i) {
            from[at(i)] = x[i];
        }
        layer.forward(TensorView<float, 3>{from.data(), {2, 17, 12}, {12, 24, 1}},
                      {to.data(), {2, 17, 12}, {12, 24, 1}});
        for (std::size_t i = 0; i < x.size(); ++i) {
            REQUIRE(to[at(i)] == expected[i]);
        }
    }
}

TEST_CASE("threads and layers may share a device", "[devices]") {
    for (const KernelInfo &kernel : device_kernels()) {
        INFO(kernel.id);
        const std::vector<float> x = make_input(small);
        const Layer shared = make_layer("", kernel.id);
        const std::vector<float> expected = run(shared, x, small.shape);
        std::vector<std::thread> callers;
        std::vector<int> right(4, 0);
        for (int i = 0; i < 4; ++i) {
            callers.emplace_back([&, i] {
                for (int repeat = 0; repeat < 5; ++repeat) {
                    const Layer own = make_layer("", kernel.id);
                    right[i] += run(shared, x, small.shape) == expected && run(own, x, small.shape) == expected;
                }
            });
        }
        for (std::thread &caller : callers) {
            caller.join();
        }
        CHECK(right == std::vector<int>(4, 5));
        CHECK_NOTHROW(shared.synchronize());
    }
}

TEST_CASE("a buffer that the Vulkan driver can't bind is refused, and the next call works", "[devices]") {
    const LayerConfig config{aft_simple, 1, 1'000'000, 1, 0};
    Weights weights;
    weights.query_weight = weights.key_weight = weights.value_weight = weights.project_weight =
        std::vector<float>(1'000'000, 1e-3f);
    for (const Device &device : devices()) {
        if (!device.usable || device.api != "vulkan") {
            continue;
        }
        const Layer layer(config, weights, {"", device.id});
        const std::vector<float> x(1'100, 0.5f);  // and intermediates of 2^32 bytes and more
        std::vector<float> y(x.size()), one(1);
        const auto forward = [&] { layer.forward({x.data(), {1'100, 1, 1}}, {y.data(), {1'100, 1, 1}}); };
        CHECK_THROWS_AS(forward(), DeviceError);
        CHECK_THROWS_WITH(forward(), ContainsSubstring(device.id) && ContainsSubstring("4400000000 bytes"));
        CHECK_NOTHROW(layer.forward({x.data(), {1, 1, 1}}, {one.data(), {1, 1, 1}}));
    }
}

TEST_CASE("device views are for CUDA", "[devices]") {
    for (const Device &device : devices()) {
        if (device.usable && device.api != "cuda") {
            const Layer layer = make_layer(device.id);
            std::vector<float> x(2 * 17 * 12), y(x.size(), -1);
            const auto forward = [&] {
                layer.forward(DeviceView<const float, 3>{{x.data(), {2, 17, 12}}},
                              DeviceView<float, 3>{{y.data(), {2, 17, 12}}});
            };
            CHECK_THROWS_AS(forward(), DeviceError);
            CHECK_THROWS_WITH(forward(), ContainsSubstring(device.id));
            CHECK(std::count(y.begin(), y.end(), -1) == static_cast<std::ptrdiff_t>(y.size()));
        }
    }
}

TEST_CASE("a batch beyond the grid of a device is refused", "[devices]") {
    const LayerConfig config{aft_simple, /*hidden=*/1, /*projected=*/1, /*max_seq_len=*/1, /*window=*/0};
    for (const Device &device : devices()) {
        if (!device.usable || device.api == "cpu") {
            continue;
        }
        INFO(device.id);
        const Layer layer(config, make_weights({config, {1, 1}}), {"", device.id});
        std::vector<float> x(65536, 1.0f), y(x.size(), 2.0f);
        CHECK_THROWS_WITH(layer.forward({x.data(), {65536, 1, 1}}, {y.data(), {65536, 1, 1}}),
                          "x: batch is 65536, must be at most 65535 on " + device.id);
        CHECK(y == std::vector<float>(y.size(), 2.0f));
    }
}
