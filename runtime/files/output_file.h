#pragma once

#include "files/file_descriptor.h"
#include "files/unfinished_file.h"

#include <cstddef>
#include <optional>
#include <string>
#include <sys/stat.h>

namespace aft {

/// A file that is written. A regular file is written as a temporary beside its place, which it takes on commit(). A
/// pipe, a socket, a character device and any target of a link in /proc, such as /dev/stdout, are written directly.
/// Its errors are WeightsErrors that don't name the file (with_path).
class OutputFile {
public:
    explicit OutputFile(const std::string &path);

    void write(const void *data, std::size_t bytes);
    void commit();

private:
    void open_in_place(const std::string &path);
    void create_beside(const std::string &target);
    int descriptor() const {
        return unfinished_ ? unfinished_->descriptor() : in_place_.number();
    }

    std::optional<struct stat> old_;  // the file that was there
    FileDescriptor in_place_;
    FileDescriptor folder_;  // of the place that it takes
    std::string name_;       // there
    std::optional<UnfinishedFile> unfinished_;
};

}  // namespace aft
