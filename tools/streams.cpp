#include "streams.h"

#include "commands.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

void open_closed_streams() noexcept {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (fcntl(stream, F_GETFD) < 0) {  // open() takes the lowest number that is free: this one
            // A folder can be neither read nor written. /dev/null would swallow the output of --output /dev/stdout.
            open(stream == STDERR_FILENO ? "/dev/null" : "/", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

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

bool is_standard_output(const std::string &path) noexcept {
    struct stat file = {}, output = {};
    return stat(path.c_str(), &file) == 0 && fstat(STDOUT_FILENO, &output) == 0 && file.st_dev == output.st_dev &&
           file.st_ino == output.st_ino;
}

}  // namespace aft::cli
