#pragma once

#include <string>
#include <string_view>

namespace aft::cli {

/// Opens those of the descriptors 0, 1 and 2 that are closed, so that no file of ours gets their number. Such a
/// standard input and output stay unusable; such a standard error discards messages.
void open_closed_streams() noexcept;

/// Makes the arguments UTF-8, as the library takes paths, where the system gives them in another encoding.
void make_utf8(int argc, char **argv);

/// Writes results to standard output.
void print(std::string_view text) noexcept;

/// Writes a message to standard error, after what was printed before.
void say(std::string_view text) noexcept;

/// Output that print() and say() couldn't write becomes a message and an exit code: `code`, or `failure` where that is
/// `done`.
int close_streams(int code) noexcept;

/// Whether what is written to the file goes where print() goes: to /dev/stdout, or to the same pipe.
bool is_standard_output(const std::string &path) noexcept;

}  // namespace aft::cli
