#include "files/input_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

namespace aft {
namespace {

[[noreturn]] void fail_reading(const std::string &what) {
    throw WeightsError(what + ": " + std::strerror(errno));
}

}  // namespace

InputFile::InputFile(const std::string &path) {
    struct stat status = {};
    if (stat(path.c_str(), &status) != 0) {
        fail_reading("can't be opened");
    }
    if (!S_ISREG(status.st_mode)) {  // checked before open(), which would wait for the other end of a pipe
        throw WeightsError("not a regular file");
    }
    file_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file_.is_open() || fstat(file_.number(), &status) != 0) {
        fail_reading("can't be opened");
    }
    bytes_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(std::uint64_t begin, void *data, std::size_t bytes) const {
    auto *next = static_cast<char *>(data);
    while (bytes > 0) {
        const ssize_t count = pread(file_.number(), next, bytes, static_cast<off_t>(begin));
        if (count == 0) {
            throw WeightsError("ends at byte " + std::to_string(begin) + ", had " + std::to_string(bytes_) +
                               " bytes when it was opened");
        }
        if (count > 0) {
            next += count;
            begin += static_cast<std::uint64_t>(count);
            bytes -= static_cast<std::size_t>(count);
        } else if (errno != EINTR) {
            fail_reading("can't be read");
        }
    }
}

}  // namespace aft
