#include "streams.h"

#include "commands.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace aft::cli {

namespace {

// The first error of each stream; 0: none.
int output_error = 0, message_error = 0;

void write(std::FILE *stream, std::string_view text, int &error) noexcept {
    errno = 0;
    const bool done = std::fwrite(text.data(), 1, text.size(), stream) == text.size() && std::fflush(stream) == 0;
    if (!done && error == 0) {
        error = errno != 0 ? errno : EIO;
    }
}

}  // namespace

void print(std::string_view text) noexcept {
    write(stdout, text, output_error);
}

void say(std::string_view text) noexcept {
    write(stderr, text, message_error);
}

int close_streams(int code) noexcept {
    errno = 0;
    if (std::fclose(stdout) != 0 && output_error == 0) {  // some file systems tell only now
        output_error = errno;
    }
    if (output_error != 0) {
        say("aft: standard output can't be written: ");
        say(std::strerror(output_error));
        say("\n");
    }
    return code == done && (output_error != 0 || message_error != 0) ? failure : code;
}

}  // namespace aft::cli
