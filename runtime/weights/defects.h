#pragma once

#include "weights/enumeration.h"

#include <cstdint>
#include <string>
#include <vector>

namespace aft {

/// The values that a parameter takes.
enum class Domain {
    finite,
    finite_or_masked,  // -inf: a position bias that masks, or the logarithm of a decay of 0
    at_least_0,        // and finite
};

/// Everything that is wrong with the weights of a layer. One error reports all of it: who converts a checkpoint wants
/// to mend it in one go.
class Defects {
public:
    void add(const std::string &defect) {
        all_.add(defect);
    }
    /// Whether the tensor has its size and values of the domain.
    bool check(const std::string &tensor, const std::vector<float> &values, const std::vector<std::int64_t> &extents,
               Domain domain);
    /// Throws WeightsError if there are any.
    void raise(const std::string &where) const;

private:
    Enumeration all_{"; "};
};

}  // namespace aft
