#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

/// An interpreter of the PTX that Halide generates. It runs CUDA kernels where there is no GPU, and checks what a GPU
/// would not: addresses, alignment and data races.
namespace aft::ptx {

class Kernel;

/// The kernels of a text of PTX, decoded. What isn't known throws std::runtime_error with its line.
class Module {
public:
    explicit Module(const std::string &text);

    /// Null when there is no kernel of the name. Lives as long as the module.
    const Kernel *find(const std::string &name) const;
    std::vector<std::string> names() const;

private:
    std::map<std::string, std::shared_ptr<const Kernel>> kernels_;
};

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};

/// Whether so many bytes from an address on lie within one allocation. Device pointers are those of the host.
using MemoryCheck = std::function<bool(std::uint64_t address, std::size_t bytes)>;

/// Runs every thread of a grid, with the parameters of cuLaunchKernel, and returns the count of instructions, each
/// once per thread that ran it.
///
/// Throws std::runtime_error, with the line and the thread, for
///   - an access outside of the allocations or of shared memory, or one that isn't aligned to its size;
///   - a data race: two accesses of a word of shared or global memory by threads that no barrier orders, one of which
///     changes it. Atomics and parts of words aren't looked at. A word read by ld.global.nc may not be changed by the
///     launch at all before that;
///   - a launch that a GPU of compute capability 8 refuses.
/// Shared memory, local memory and registers start as NaN, or -1.
std::uint64_t launch(const Kernel &kernel, Dim grid, Dim block, unsigned dynamic_shared_bytes, void **params,
                     const MemoryCheck &check);

}  // namespace aft::ptx
