#pragma once

#include "candidate.h"
#include "sign_test.h"

#include <aft/config.h>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace aft::tune {

/// The result of a search for one layer and shape.
struct ProfileEntry {
    Problem problem;
    int threads = 0;
    std::optional<Candidate> tuned;  ///< none: nothing faster than `packed` was found
    double packed_ms = 0;            ///< median of the last comparison, which is of new rounds only
    double tuned_ms = 0, ratio = 1;  ///< of the same: the median, and the median of tuned / packed
    Interval interval{1, 1};         ///< of the median ratio
    int trials = 0;                  ///< that the search took
    std::string date, halide, target;
};

/// The kernels that were found for one kind of CPU. The build makes rows `tuned` of it
/// (generators/table/profile.cmake).
struct Profile {
    std::string cpu, isa;
    std::vector<ProfileEntry> entries;
};

/// The instruction set of a Halide target: avx512, avx2, avx, sse, neon.
std::string isa_of(const std::string &target);

/// "amd-epyc-avx512": names the file.
std::string slug(const std::string &cpu, const std::string &isa);

/// A file that is no profile, or that of another CPU or instruction set.
class ProfileError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The content of the file; nothing when it isn't there. Throws ProfileError.
Profile read_profile(const std::filesystem::path &file, const std::string &cpu, const std::string &isa);

/// Takes the place of what was there for the layer and shape, or comes last.
void merge(Profile &profile, const ProfileEntry &entry);

/// The file is replaced at once, its folder made. Throws std::runtime_error when it can't be written.
void write_profile(const std::filesystem::path &file, const Profile &profile);

}  // namespace aft::tune
