#pragma once

#include <exception>
#include <new>
#include <stdexcept>

namespace aft::bench {

/// The message of an exception for a reader: a container that can't grow names its own function.
inline const char *what_failed(const std::exception &error) noexcept {
    const bool memory = dynamic_cast<const std::bad_alloc *>(&error) != nullptr ||
                        dynamic_cast<const std::length_error *>(&error) != nullptr;
    return memory ? "out of memory" : error.what();
}

}  // namespace aft::bench
