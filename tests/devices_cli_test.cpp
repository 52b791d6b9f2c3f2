#include "command_line.h"
#include "golden.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace aft;

namespace {

const std::string case_path = AFT_GOLDENS "/aftp_full_small.safetensors";

std::string run_on(const std::string &device, const std::string &output) {
    return "run " + case_path + " --layer full" + (device.empty() ? "" : " --device " + device) + " --input " +
           case_path + ":input --output " + output;
}

bool has_kernels_for(const std::string &api) {
    return std::any_of(kernels().begin(), kernels().end(), [&](const auto &kernel) { return kernel.device == api; });
}

std::string line_with(const std::string &text, const std::string &word) {
    const std::size_t at = text.find(word);
    if (at == std::string::npos)
        return "";
    const std::size_t begin = text.rfind('\n', at) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
}

/// Where an API can't be used, lists say why, the CPU goes on, and the API refuses in one line.
void check_without(const std::string &api, const std::string &environment, const std::string &reason) {
    if (!has_kernels_for(api))
        return;
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
        if (!device.usable)
            continue;
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
    for (const char *name : {"libcuda.so.1", "libOpenCL.so.1", "libvulkan.so.1"})
        REQUIRE(std::system(("echo > " + folder / name).c_str()) == 0);
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
    if (!has_kernels_for("cuda"))
        return;
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
    if (std::none_of(kernels().begin(), kernels().end(), [](const KernelInfo &k) { return k.device == "cuda"; }))
        SKIP("this build has no CUDA kernels");
    const Outcome outcome =
        aft_cli("bench --layer simple --shape 2,65,24,24 --min-time 0.001 --format json --device cuda:1", fake_cuda);
    INFO(outcome.err);
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.out.find("aft_simple_cuda_tiled") != std::string::npos);
    CHECK(outcome.out.find("\"timed\": \"device\"") != std::string::npos);
    CHECK(outcome.out.find("WRONG") == std::string::npos);
}
