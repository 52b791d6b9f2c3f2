#pragma once

#include "files/file_descriptor.h"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace aft {

/// A new temporary file in a folder. It is removed at the end, and by remove_unfinished_files() before, unless it has
/// taken its place. Throws WeightsError, which doesn't name the file.
class UnfinishedFile {
public:
    /// `folder` must stay open as long.
    UnfinishedFile(int folder, mode_t mode);
    ~UnfinishedFile();
    UnfinishedFile(const UnfinishedFile &) = delete;
    UnfinishedFile &operator=(const UnfinishedFile &) = delete;

    int descriptor() const {
        return file_.number();
    }
    /// Becomes the file `name` of the folder. Throws when the system can't.
    void take_place(const std::string &name);

private:
    int folder_;
    std::uint64_t number_ = 0;  // random; its name has it
    int slot_ = 0;              // where remove_unfinished_files() finds it
    bool has_place_ = false;
    FileDescriptor file_;
};

/// Throws the WeightsError that a file can't be written, because of errno.
[[noreturn]] void fail_writing(const std::string &what = "");

}  // namespace aft
