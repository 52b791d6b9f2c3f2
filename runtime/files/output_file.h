#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace aft {

/// A file that is written. A regular file is written as a temporary beside its place, which it takes on commit().
/// Without a commit() the destructor removes the temporary. Other files, such as pipes, are written directly. Its
/// errors are WeightsErrors that don't name the file (with_path).
class OutputFile {
public:
    explicit OutputFile(const std::string &path);
    ~OutputFile();

    void write(const void *data, std::size_t bytes);
    void commit();

    /// Removes the temporaries that this process is writing. For handlers of signals: async-signal-safe.
    static void remove_unfinished() noexcept;

private:
    class Target;  // as the system has it
    std::unique_ptr<Target> target_;
};

}  // namespace aft
