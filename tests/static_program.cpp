// A program that is linked with -static: it must do without drivers and tuned kernels, and say so. Exits with 0 when it
// is right.
#include "temporary_file.h"

#include <aft/aft.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <vector>

namespace {

bool says_why(const std::string &reason) {
#ifdef __linux__
    const char *expected = "a statically linked program can't load libraries";
#else
    const char *expected = "libraries are loaded on Linux only";
#endif
    return reason.find(expected) != std::string::npos;
}

constexpr char wisdom[] = R"({"cpu": "", "isa": "", "results": [
    {"layer": "simple", "algorithm": "softmax", "kernel": "tuned", "target": "",
     "shape": {"batch": 2, "seq": 5, "hidden": 4, "projected": 4, "window": 0},
     "library": {"file": "kernel.so", "abi": 1,
                 "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}}]})";

}  // namespace

int main() {
    const aft::Folder folder;
    std::ofstream(folder / "w.json") << wisdom;
    std::filesystem::permissions(folder / "w.json", std::filesystem::perms(0644));
    aft::load_kernels(folder / "w.json");
    if (const aft::KernelInfo &kernel = aft::kernels().front(); kernel.usable || !says_why(kernel.reason)) {
        std::printf("%s: %s\n", kernel.id.c_str(), kernel.reason.c_str());
        return 1;
    }
    for (const aft::Device &device : aft::devices()) {
        if (device.api == "cpu" ? !device.usable : !says_why(device.reason)) {
            std::printf("%s: %s\n", device.id.c_str(), device.reason.c_str());
            return 1;
        }
    }
    aft::Weights weights;  // y = 4 * (1 / 2) * 3 * 4
    weights.query_weight = weights.key_weight = std::vector<float>(4 * 4, 0);
    weights.value_weight = weights.project_weight = std::vector<float>(4 * 4, 1);
    const std::vector<float> x(2 * 5 * 4, 3);
    std::vector<float> y(x.size());
    const aft::Layer layer({aft::aft_simple, /*hidden=*/4, /*projected=*/4, /*max_seq_len=*/5}, weights);
    layer.forward({x.data(), {2, 5, 4}}, {y.data(), {2, 5, 4}});
    for (const float value : y) {
        if (!(std::abs(value - 24) <= 1e-4f)) {
            std::printf("y has %g, must be 24\n", value);
            return 1;
        }
    }
    return 0;
}
