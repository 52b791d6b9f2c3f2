#pragma once

#include <cstddef>
#include <cstdint>

namespace aft {

/// The functions that a kernel of a shared object calls: its own copy of Halide's runtime hands these calls on. They
/// come with each call of the kernel and not once for the process, since two copies of the library may have loaded the
/// same file.
struct KernelHost {
    void *(*allocate)(void *user_context, std::size_t bytes);
    void (*release)(void *user_context, void *memory);
    int (*parallel_loop)(void *user_context, int (*task)(void *user_context, int index, std::uint8_t *closure),
                         int first, int count, std::uint8_t *closure);
    void (*fail)(void *user_context, const char *message);
};

/// The version of all that the library and a kernel of a shared object must agree on: KernelHost, its place in the user
/// context, the names of the functions (kernels/kernel_library.h), and the names and meanings of their arguments
/// (kernels/kernel_table.h). A change of one of them adds 1, and so does a correction of what a generator computes:
/// kernels that were made before it aren't loaded any more.
inline constexpr int kernel_abi = 1;

}  // namespace aft
