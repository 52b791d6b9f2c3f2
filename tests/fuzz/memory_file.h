#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

/// A file in memory, whose content is replaced for every run.
class MemoryFile {
public:
    MemoryFile() : file_(memfd_create("fuzz", 0)), path_("/proc/self/fd/" + std::to_string(file_)) {}

    const std::string &with(const std::uint8_t *data, std::size_t size) const {
        if (ftruncate(file_, 0) != 0 || pwrite(file_, data, size, 0) != static_cast<ssize_t>(size)) {
            std::abort();
        }
        return path_;
    }

private:
    int file_;
    std::string path_;
};

/// Ends the run as a finding of the fuzzer.
inline void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}
