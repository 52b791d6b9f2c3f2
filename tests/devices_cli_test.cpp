#include "c_layer.h"
#include "command_line.h"
#include "golden.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

using namespace aft;

namespace {

const std::string case_path = AFT_GOLDENS "/aftp_full_small.safetensors";

std::string run_on(const std::string &device, const std::string &output) {
    return "run " + case_path + " --layer full" + (device.empty() ? "" : " --device " + device) + " --input " +
           case_path + ":input --output " + output;
}

bool has_kernels_for(const std::string &api) {
    return std::any_of(kernels().begin(), kernels().end(), [&](const auto &kernel) { return kernel.api == api; });
}

std::string line_with(const std::string &text, const std::string &word) {
    const std::size_t at = text.find(word);
    if (at == std::string::npos) {
        return "";
    }
    const std::size_t begin = text.rfind('\n', at) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
}

/// Where an API can't be used, lists say why, the CPU goes on, and the API refuses in one line.
void check_without(const std::string &api, const std::string &environment, const std::string &reason) {
    if (!has_kernels_for(api)) {
        return;
    }
    INFO(api << " with " << environment);
    const Folder folder;
    const Outcome listed = aft_cli("devices", environment);
    INFO(listed.err);
    CHECK(listed.exit_code == 0);
    CHECK(listed.err.empty());
    CHECK(line_with(listed.out, api + ":0").find("no: ") != std::string::npos);
    CHECK(line_with(listed.out, api + ":0").find(reason) != std::string::npos);

    const Outcome table = aft_cli("kernels", environment);
    CHECK(table.exit_code == 0);
    CHECK(table.err.empty());
    CHECK(line_with(table.out, "aft_full_" + api + "_naive").find(reason) != std::string::npos);

    for (const std::string &device : {api, api + ":0"}) {
        const Outcome refused = aft_cli(run_on(device, folder / "refused"), environment);
        INFO(refused.err);
        CHECK(refused.exit_code == 2);
        CHECK(is_one_line(refused.err));
        CHECK(refused.err.find(reason) != std::string::npos);
        CHECK(folder.empty());
    }
    const Outcome kernel =
        aft_cli(run_on("", folder / "refused") + " --kernel aft_full_" + api + "_naive", environment);
    CHECK(kernel.exit_code == 2);
    CHECK(folder.empty());

    const Outcome ran = aft_cli(run_on("cpu", folder / "y"), environment);
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
    CHECK(ran.err.empty());
}

/// Whether a command, which succeeds, loads a library with the name of a driver.
bool loads_drivers(const std::string &command) {
    const Folder folder;
    for (const char *name : {"libcuda.so.1", "libcuda.so", "libOpenCL.so.1", "libvulkan.so.1"}) {
        std::filesystem::create_symlink(AFT_FAKE_DRIVER, folder / name);
    }
    const std::string mark = folder / "mark";
    const int status = std::system(("env LD_LIBRARY_PATH=" + folder / "" + " AFT_DRIVER_MARK=" + mark + " " + command +
                                    " >" + folder / "out" + " 2>&1")
                                       .c_str());
    INFO(command);
    CHECK(status == 0);
    return std::filesystem::exists(mark);
}

std::string tool() {
    const char *const path = std::getenv("AFT_CLI");
    return std::string(path ? path : AFT_CLI) + " ";
}

const std::string fake_cuda = "LD_LIBRARY_PATH=" AFT_FAKE_CUDA " ";

}  // namespace

TEST_CASE("aft devices lists every device", "[cli][devices]") {
    for (const std::string format : {"table", "json"}) {
        const Outcome outcome = aft_cli("devices --format " + format);
        CHECK(outcome.exit_code == 0);
        CHECK(outcome.err.empty());
        for (const Device &device : devices()) {
            INFO(device.id);
            CHECK(outcome.out.find(device.id) != std::string::npos);
            CHECK(outcome.out.find(device.name) != std::string::npos);
            CHECK(outcome.out.find(device.reason) != std::string::npos);
        }
    }
}

TEST_CASE("aft run obeys --device and AFT_DEVICE", "[cli][devices]") {
    for (const Device &device : devices()) {
        if (!device.usable) {
            continue;
        }
        INFO(device.id);
        const Folder folder;
        CHECK(aft_cli(run_on(device.id, folder / "y")).out.find("aft_full_" + device.api + "_") == 0);
        CHECK(aft_cli(run_on(device.api, folder / "y")).out.find("aft_full_" + device.api + "_") == 0);
        const Outcome outcome = aft_cli(run_on("", folder / "y"), "AFT_DEVICE=" + device.id);
        CHECK(outcome.exit_code == 0);
        CHECK(outcome.out.find("aft_full_" + device.api + "_") == 0);
    }
    const Folder folder;
    const Outcome unknown = aft_cli(run_on("tpu:0", folder / "y"));
    CHECK(unknown.exit_code == 2);
    CHECK(is_one_line(unknown.err));
    CHECK(unknown.err.find("cpu") != std::string::npos);
}

TEST_CASE("who asks for the CPU loads no driver", "[cli][devices]") {
    const Folder folder;
    const std::string run = tool() + run_on("", folder / "y"), kernel = "aft_full_cpu_packed";
    CHECK_FALSE(loads_drivers(run + " --device cpu"));
    CHECK_FALSE(loads_drivers("AFT_DEVICE=cpu " + run));
    CHECK_FALSE(loads_drivers(tool() + "--help"));
    CHECK_FALSE(loads_drivers(tool() + "--version"));
    CHECK_FALSE(loads_drivers(tool() + "bench --help"));
    CHECK_FALSE(loads_drivers(tool() + "bench --layer simple --shape 2,65,24,24 --min-time 0.001 --device cpu"));
    if (std::any_of(kernels().begin(), kernels().end(),
                    [&](const KernelInfo &k) { return k.usable && k.id == kernel; })) {
        CHECK_FALSE(loads_drivers(run + " --kernel " + kernel));
        CHECK_FALSE(loads_drivers("AFT_KERNEL=" + kernel + " " + run));
    }
    CHECK_FALSE(loads_drivers("/proc/" + std::to_string(getpid()) + "/exe 'C callers on the CPU'"));
    const bool has_drivers = has_kernels_for("cuda") || has_kernels_for("opencl") || has_kernels_for("vulkan");
    CHECK(loads_drivers(tool() + "devices") == has_drivers);
    CHECK(loads_drivers(run) == has_drivers);
}

TEST_CASE("C callers on the CPU", "[.]") {  // run by the test above, alone in a process
    const Problem problem{{aft_full, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/0}, {2, 17}};
    const CWeights weights = copied(make_weights(problem), problem.config);
    const aft_config config = c_config(problem.config);
    const aft_layer_options options = {sizeof(options), nullptr, "cpu", nullptr};
    aft_layer *layer = nullptr;
    REQUIRE(aft_layer_create(&config, weights.get(), &options, &layer) == AFT_OK);
    const CLayer owner(layer);
    const std::vector<float> x = make_input(problem);
    std::vector<float> y(x.size());
    const std::int64_t extents[] = {2, 17, 12};
    CHECK(aft_layer_forward(layer, extents, x.data(), nullptr, y.data(), nullptr) == AFT_OK);
    const aft_kernel_info *kernel = nullptr;
    const aft_device_info *device = nullptr;
    REQUIRE(aft_layer_kernel_for(layer, 2, 17, &kernel) == AFT_OK);
    REQUIRE(aft_layer_device(layer, &device) == AFT_OK);
    CHECK(kernel->device == std::string("cpu"));
    CHECK(device->id == std::string("cpu"));
}

TEST_CASE("a loader without drivers is no device", "[cli][devices]") {
    check_without("opencl", "OCL_ICD_VENDORS=/nonexistent OCL_ICD_FILENAMES= ", "no OpenCL driver");
    check_without("vulkan", "VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent", "Vulkan driver");
}

TEST_CASE("a Vulkan device of a type that isn't there is no device", "[cli][devices]") {
    check_without("vulkan", "HL_VK_DEVICE_TYPE=fpga", "HL_VK_DEVICE_TYPE fpga");
}

TEST_CASE("a library that doesn't load is no device", "[cli][devices]") {
    // A file of the right name that isn't a library.
    const Folder folder;
    for (const char *name : {"libcuda.so.1", "libOpenCL.so.1", "libvulkan.so.1"}) {
        REQUIRE(std::system(("echo > " + folder / name).c_str()) == 0);
    }
    const std::string environment = "LD_LIBRARY_PATH=" + folder / "";
    check_without("cuda", environment, "no CUDA driver: ");
    check_without("opencl", environment, "no OpenCL loader: ");
    check_without("vulkan", environment, "no Vulkan loader: ");
}

TEST_CASE("a CUDA driver that has no device, fails or is too old is no device", "[cli][devices]") {
    check_without("cuda", fake_cuda + "FAKE_CUDA_DEVICES=0", "the CUDA driver has no device");
    check_without("cuda", fake_cuda + "FAKE_CUDA_INIT=999", "cuInit: CUDA_ERROR_UNKNOWN (999)");
    check_without("cuda", fake_cuda + "FAKE_CUDA_CAPABILITY=70", "has compute capability 7.0, not ");
}

TEST_CASE("a CUDA device is listed with its memory and chosen unasked", "[cli][devices]") {
    if (!has_kernels_for("cuda")) {
        return;
    }
    const Folder folder;
    const std::string line = line_with(aft_cli("devices", fake_cuda).out, "cuda:1");
    CHECK(line.find("fake 1") != std::string::npos);
    CHECK(line.find("1.0 GiB") != std::string::npos);
    const Outcome chosen = aft_cli(run_on("", folder / "y"), fake_cuda);
    CHECK(chosen.out.find("aft_full_cuda_") == 0);
    const Outcome no_memory = aft_cli(run_on("", folder / "y"), fake_cuda + "FAKE_CUDA_ALLOCATIONS=3");
    CHECK(no_memory.out.find("aft_full_cpu_") == 0);
    CHECK(no_memory.err.empty());
}

TEST_CASE("aft bench times CUDA kernels on tensors of the device, beside its ceilings", "[cli][devices]") {
    if (std::none_of(kernels().begin(), kernels().end(), [](const KernelInfo &k) { return k.api == "cuda"; })) {
        SKIP("this build has no CUDA kernels");
    }
    const Outcome outcome =
        aft_cli("bench --layer simple --shape 2,65,24,24 --min-time 0.001 --format json --device cuda:1", fake_cuda);
    INFO(outcome.err);
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.out.find("aft_simple_cuda_tiled") != std::string::npos);
    CHECK(outcome.out.find("\"timed\": \"device\"") != std::string::npos);
    CHECK(outcome.out.find("WRONG") == std::string::npos);
}
