#include "streams.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace aft::cli {

void open_closed_streams() noexcept {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (fcntl(stream, F_GETFD) < 0) {  // open() takes the lowest number that is free: this one
            // A folder can be neither read nor written. /dev/null would swallow the output of --output /dev/stdout.
            open(stream == STDERR_FILENO ? "/dev/null" : "/", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

bool is_standard_output(const std::string &path) noexcept {
    struct stat file = {}, output = {};
    return stat(path.c_str(), &file) == 0 && fstat(STDOUT_FILENO, &output) == 0 && file.st_dev == output.st_dev &&
           file.st_ino == output.st_ino;
}

void make_utf8(int, char **) {}  // of the bytes that the shell gave

}  // namespace aft::cli
