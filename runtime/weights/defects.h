#pragma once

#include "weights/enumeration.h"

#include <cstdint>
#include <string>
#include <vector>

namespace aft {

/// Everything that is wrong with the weights of a layer. One error reports all of it: who converts a checkpoint wants
/// to mend it in one go.
class Defects {
public:
    void add(const std::string &defect) {
        all_.add(defect);
    }
    /// Whether the tensor has its size, and finite values or, where `may_mask`, -inf.
    bool check(const std::string &tensor, const std::vector<float> &values, const std::vector<std::int64_t> &extents,
               bool may_mask);
    /// Throws WeightsError if there are any.
    void raise(const std::string &where) const;

private:
    Enumeration all_{"; "};
};

}  // namespace aft
