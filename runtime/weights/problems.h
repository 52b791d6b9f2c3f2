#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace aft {

/// One line that lists things, the first of them where they are many.
class Enumeration {
public:
    explicit Enumeration(std::string separator) : separator_(std::move(separator)) {}

    void add(const std::string &item) {
        if (count_++ < longest) {
            text_ += (text_.empty() ? "" : separator_) + item;
        }
    }
    bool empty() const {
        return count_ == 0;
    }
    std::string text() const {
        return count_ <= longest ? text_ : text_ + separator_ + std::to_string(count_ - longest) + " more";
    }

private:
    static constexpr std::size_t longest = 20;

    std::string separator_, text_;
    std::size_t count_ = 0;
};

/// Problems with weights, reported together: who converts a checkpoint wants them all at once.
class Problems {
public:
    void add(const std::string &problem) {
        all_.add(problem);
    }
    /// Whether the tensor has its size and no value that can't be: infinite, but for -inf where it may mask, or NaN.
    bool check(const std::string &tensor, const std::vector<float> &values, const std::vector<std::int64_t> &extents,
               bool may_mask);
    /// Throws WeightsError if there are any.
    void raise(const std::string &where) const;

private:
    Enumeration all_{"; "};
};

}  // namespace aft
