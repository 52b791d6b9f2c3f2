#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace aft {

/// A list of things in one line of a message. It shows the first 20 and counts the others.
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

}  // namespace aft
