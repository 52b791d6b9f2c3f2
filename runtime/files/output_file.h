#pragma once

#include "files/file_descriptor.h"
#include "files/unfinished_file.h"

#include <cstddef>
#include <optional>
#include <string>
#include <sys/stat.h>

namespace aft {

/// A file that is written. A regular one is a temporary beside its place, which it takes on commit() and not before. A
/// pipe, a socket, a character device, and whatever lies behind a link of /proc such as /dev/stdout, is written as it
/// stands. Its errors, WeightsErrors, don't name the file (with_path).
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

    std::optional<struct stat> old_;  // what was there
    FileDescriptor in_place_;
    FileDescriptor folder_;  // of the place that it takes
    std::string name_;       // there
    std::optional<UnfinishedFile> unfinished_;
};

}  // namespace aft
