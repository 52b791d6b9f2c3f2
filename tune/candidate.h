#pragma once

#include "reference/problem.h"

#include <map>
#include <string>
#include <vector>

namespace aft::tune {

/// A kernel that can be generated: the hand schedule `packed` with parameters of its generator, or what an
/// autoscheduler finds.
struct Candidate {
    std::string autoscheduler;          ///< such as Adams2019; empty: `packed`
    std::map<std::string, int> params;  ///< of the generator or the autoscheduler; what isn't here has its default

    bool operator==(const Candidate &other) const {
        return autoscheduler == other.autoscheduler && params == other.params;
    }
};

/// "packed", "packed depth=384 tile_rows=8"
std::string describe(const Candidate &candidate);

/// Parameters that are chosen together, and the values to try; the first ones are the generator's defaults.
struct Axis {
    std::vector<std::map<std::string, int>> settings;
};

/// The candidate with another setting of an axis.
Candidate with(Candidate candidate, const Axis &axis, const std::map<std::string, int> &setting);

/// The axes of `packed` for a layer, in the order that they are searched in. lanes: floats in a vector of the target.
std::vector<Axis> packed_axes(LayerForm layer, int lanes);

/// Floats in the vectors that Halide uses for a target.
int vector_lanes(const std::string &target);

/// One of Adams2019's random searches, by its number from 1 on: the beam is one state wide, and drops what it finds at
/// random. Each seed is tried with every parallelism that is worth a try, first with the one that is nearest to the
/// number of threads.
Candidate random_adams2019(int number, int threads);

/// Arguments for the generator program, beside the target's, of the two halves of a kernel.
std::vector<std::string> prepare_arguments(const Candidate &candidate);
std::vector<std::string> forward_arguments(const Candidate &candidate, const Problem &problem);

}  // namespace aft::tune
