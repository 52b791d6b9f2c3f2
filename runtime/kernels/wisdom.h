#pragma once

#include <aft/config.h>
#include <aft/layer.h>

#include <optional>
#include <string>
#include <vector>

namespace aft {

/// The results of `aft tune`, as its file has them (docs/tuning.md): the part that tells which kernels there are.
struct Wisdom {
    /// A shared object beside the file.
    struct Library {
        std::string file;    // a name without a folder
        std::string sha256;  // of its bytes: 64 digits in lower case
        int abi = 0;         // kernel_abi of its build
    };
    /// The result for one layer and shape.
    struct Result {
        LayerConfig config;  // max_seq_len is T
        Shape shape;
        std::string target;              // Halide's
        std::string algorithm;           // of KernelInfo
        std::optional<Library> library;  // none: nothing was faster than `packed`
    };

    std::string cpu, isa;
    std::vector<Result> results;
};

/// Reads a file of wisdom. Throws ConfigError, which names the file and the field.
Wisdom read_wisdom(const std::string &path);

}  // namespace aft
