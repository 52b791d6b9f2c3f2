#include "kernels/kernel_library.h"

#include "devices/driver.h"
#include "halide/halide.h"
#include "halide/kernel_host.h"

#include <aft/error.h>

namespace aft {

KernelLibrary load_kernel_library(const std::string &path) {
    DriverLibrary library(path.c_str());
    KernelLibrary result = {};
    const int *abi = nullptr;
    const auto find = [&](const std::string &name, GeneratedFunction &function) {
        library.find((name + "_argv").c_str(), function.call);
        library.find((name + "_metadata").c_str(), function.metadata);
    };
    library.find("aft_kernel_abi", abi);
    find(loadable_prepare, result.prepare);
    find(loadable_call, result.call);
    if (!library.problem().empty()) {
        throw ConfigError("can't be loaded: " + library.problem());
    }
    if (*abi != kernel_abi) {
        throw ConfigError("has kernels of ABI " + std::to_string(*abi) + ", must be " + std::to_string(kernel_abi));
    }
    for (const GeneratedFunction &function : {result.prepare, result.call}) {
        if (function.metadata()->version != halide_filter_metadata_t::VERSION) {
            throw ConfigError("was made by another version of Halide");
        }
    }
    return result;
}

}  // namespace aft
