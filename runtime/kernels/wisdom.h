#pragma once

#include <aft/config.h>
#include <aft/layer.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aft {

/// The newest version of the format. Files of version 1 have no field `version` and no preferences.
inline constexpr int wisdom_version = 2;

/// The results of `aft tune`, as its file has them (docs/tuning.md): the part that tells which kernels there are, and
/// which of the library's own kernels are the fastest at which lengths.
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

    /// The kernels of one operation that were compared, and the lengths at which each one is the fastest.
    struct Preference {
        /// Ends where the next one begins; the last one has no end.
        struct Interval {
            std::int64_t from;
            std::string kernel;  // one of `kernels`
        };
        std::string operation, storage;
        std::optional<LayerForm> layer;  // none: the kernels serve every form
        std::string target;              // Halide's
        std::vector<std::string> kernels;
        std::vector<Interval> lengths;  // from 1 on
    };

    std::string cpu, isa;
    std::vector<Result> results;
    std::vector<Preference> preferences;
};

/// Reads a file of wisdom. Throws ConfigError, which names the file and the field.
Wisdom read_wisdom(const std::string &path);

}  // namespace aft
