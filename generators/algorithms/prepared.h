#pragma once

#include "Halide.h"

#include <map>
#include <string>
#include <vector>

namespace aft {

/// How a prepared parameter of a mean lies in memory; the form says what that is.
enum class PreparedLayout {
    left_matrix,  ///< a left operand of a product: (step, row)
    per_row,      ///< a value per target
    plain,        ///< float32, (step, target), whatever the form
};

/// A parameter that the mean reads and that its prepare() makes of the position bias.
struct PreparedParameter {
    std::string name;
    PreparedLayout layout;
};
using PreparedList = std::vector<PreparedParameter>;

/// They by name.
using PreparedFuncs = std::map<std::string, Halide::Func>;

/// The input of prepare(): the position bias as a checkpoint has it.
struct BiasInputs {
    Halide::Func w;            // (source, target); a banded one is read in its band only
    Halide::Expr seq, window;  // S; s of a banded one
};

}  // namespace aft
