#pragma once

#include <aft/aft_c.h>

#include <stdexcept>

namespace aft {

/// What only a caller of the C API can get wrong: a null pointer, an index, a struct_size.
class ArgumentError : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

/// The status of the exception that is being handled, whose message becomes this thread's aft_last_error().
aft_status keep_error() noexcept;

/// Runs `body`. Nothing that it throws goes further.
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
