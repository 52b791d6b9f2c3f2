#pragma once

#include "candidate.h"
#include "compare_lengths.h"
#include "sign_test.h"

#include <filesystem>
#include <optional>
#include <string>

namespace aft::tune {

/// The result of a search for one layer and shape.
struct SearchResult {
    Problem problem;
    std::string algorithm;  ///< of KernelInfo
    int threads = 0;
    std::optional<Candidate> tuned;  ///< none: nothing faster than `packed` was found
    std::filesystem::path library;   ///< of `tuned`
    double packed_ms = 0;            ///< median of the last comparison, which is of new rounds only
    double tuned_ms = 0, ratio = 1;  ///< of the same: the median, and the median of tuned / packed
    Interval interval{1, 1};         ///< of the median ratio
    int trials = 0;                  ///< that the search took
    std::string date, halide, target;
};

/// The instruction set of a Halide target: avx512, avx2, avx, sse, neon.
std::string isa_of(const std::string &target);

/// "amd-epyc-avx512": names the file.
std::string slug(const std::string &cpu, const std::string &isa);

/// A file of wisdom: the results of searches on one kind of CPU, with the shared objects of their kernels beside it,
/// and the lengths at which kernels of the library are the fastest there. Programs load them
/// (runtime/kernels/loaded_kernels.h), or a build makes rows `tuned` of it (generators/table/wisdom.cmake).
class WisdomFile {
public:
    /// Makes the folder. Throws ConfigError when the file is there and isn't wisdom of this CPU and instruction set, or
    /// when programs would refuse to load it, and std::runtime_error when the folder can't be made.
    WisdomFile(const std::filesystem::path &file, const std::string &cpu, const std::string &isa);

    /// Takes the place of what was there for the layer and shape, or comes last. The file is replaced at once. Throws
    /// std::runtime_error when it or a shared object can't be written.
    void add(const SearchResult &result) const;
    /// The same for its operation, layer and storage.
    void add(const LengthResult &result) const;

private:
    std::filesystem::path file_;
    std::string cpu_, isa_;
};

}  // namespace aft::tune
