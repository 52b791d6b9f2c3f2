#pragma once

#include <string>

namespace aft::bench {

/// The machine and the build that the figures of a run hold for.
struct Machine {
    std::string cpu;
    int cores = 0;  ///< processors that are online
    std::string caches;
    std::string os;
    std::string isa;  ///< of the multiply-add peak: the widest one
    std::string compiler;
    std::string halide;  ///< version that generated the kernels
    std::string target;  ///< Halide target of the kernels
    std::string date;    ///< UTC
};

Machine this_machine();

}  // namespace aft::bench
