#pragma once

#include "candidate.h"

#include "files/file_descriptor.h"
#include "kernels/kernel_table.h"

#include <aft/kernels.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

namespace aft::tune {

/// The programs and names that kernels are made with.
struct Toolchain {
    std::filesystem::path generator;  ///< the generator program of the build
    std::filesystem::path adams2019;  ///< the autoscheduler, a plugin for the generator
    std::string compiler;             ///< links the kernels
    std::filesystem::path host;       ///< the part of a shared object that calls the library (loadable.cpp)
    std::filesystem::path runtime;    ///< Halide's runtime of a shared object
    std::string halide;               ///< version
    std::string target;               ///< Halide target of the kernels
};

/// The tools of the build that this program comes from, for the target of one of its kernels. The environment's CXX
/// takes the place of its compiler. Throws std::runtime_error when the generator program isn't there any more.
Toolchain toolchain_of_build(const std::string &target);

/// A kernel that is loaded into this process, for good.
struct BuiltKernel {
    std::string id;
    std::filesystem::path library;  ///< its shared object, in the builder's folder
    KernelRow row;
    KernelInfo info;
};

/// A candidate that the generator or the linker refuses, with the last line of what they say.
class BuildError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Generates, links and loads candidates. Shared objects stay in a folder, by all that went into them. Other processes
/// may build there at the same time.
class KernelBuilder {
public:
    /// Throws std::runtime_error when the folder can't be made or written to.
    KernelBuilder(const Toolchain &toolchain, const std::filesystem::path &folder);

    /// Throws BuildError, and std::runtime_error when a tool can't be started. `cpu_seconds` is what its tools took,
    /// also then; 0 where the shared object is there. Thread-safe.
    std::unique_ptr<BuiltKernel> build(const Candidate &candidate, const Problem &problem, double &cpu_seconds) const;
    std::unique_ptr<BuiltKernel> build(const Candidate &candidate, const Problem &problem) const {
        double ignored = 0;
        return build(candidate, problem, ignored);
    }

    /// Identifies the generator program and the target: results hold as long as it stays the same.
    const std::string &fingerprint() const {
        return fingerprint_;
    }

private:
    void make(const Candidate &candidate, const Problem &problem, const std::filesystem::path &library,
              double &cpu_seconds) const;

    Toolchain toolchain_;
    std::filesystem::path folder_;
    FileDescriptor lock_;
    std::string fingerprint_;
};

}  // namespace aft::tune
