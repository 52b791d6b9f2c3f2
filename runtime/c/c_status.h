#pragma once

#include <aft/aft_c.h>

#include <stdexcept>

namespace aft {

/// A mistake that only C callers can make: a null pointer, a wrong index or struct_size.
class ArgumentError : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

/// The status of the exception that is being handled. Keeps its message for this thread.
aft_status keep_error() noexcept;

/// The message that this thread kept last; "" if it has kept none.
const char *last_message() noexcept;

/// Runs `body` and turns every exception into a status.
template<typename Body>
aft_status guarded(const Body &body) noexcept {
    try {
        body();
        return AFT_OK;
    } catch (...) {
        return keep_error();
    }
}

}  // namespace aft
