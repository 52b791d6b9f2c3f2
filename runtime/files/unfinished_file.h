#pragma once

#include "files/file_descriptor.h"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace aft {

/// A new temporary file in a folder. Unless it has taken its place, the destructor removes it, and so does
/// remove_all(). Throws WeightsError, which doesn't name the file.
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
    /// Becomes the file `name` of the folder. Throws if the system refuses.
    void take_place(const std::string &name);

    /// Removes the files that this process is writing, up to 64 of them. For handlers of signals: async-signal-safe.
    static void remove_all() noexcept;

private:
    int folder_;
    std::uint64_t number_ = 0;  // random; its name has it
    int slot_ = 0;              // where remove_all() finds it
    bool has_place_ = false;
    FileDescriptor file_;
};

/// Throws the WeightsError that a file can't be written, because of errno.
[[noreturn]] void fail_writing(const std::string &what = "");

}  // namespace aft
