#pragma once

#include <aft/error.h>

#include <cstddef>
#include <memory>
#include <string>

namespace aft {

/// A file that is written. A regular file is written as a temporary beside its place, which it takes on commit().
/// Without a commit() the destructor removes the temporary. Other files, such as pipes, are written directly. Its
/// errors are WeightsErrors that don't name the file (with_path). Each system has a class of its own.
class OutputFile {
public:
    static std::unique_ptr<OutputFile> open(const std::string &path);
    virtual ~OutputFile() = default;
    OutputFile(const OutputFile &) = delete;
    OutputFile &operator=(const OutputFile &) = delete;

    virtual void write(const void *data, std::size_t bytes) = 0;
    virtual void commit() = 0;

    /// Removes the temporaries that this process is writing. For handlers of signals: async-signal-safe.
    static void remove_unfinished() noexcept;

protected:
    OutputFile() = default;
};

[[noreturn]] inline void refuse_writing(const std::string &why) {
    throw WeightsError("can't be written: " + why);
}

}  // namespace aft
