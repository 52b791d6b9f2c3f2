#include "files/output_file.h"

#include <aft/error.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace aft {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_writing(const std::string &why) {
    throw WeightsError("can't be written: " + why);
}

}  // namespace

/// On WebAssembly. A module has no signals and no other processes beside it, so that the temporary has one name.
class OutputFile::Target {
public:
    explicit Target(const std::string &path);
    ~Target();
    Target(const Target &) = delete;
    Target &operator=(const Target &) = delete;

    void write(const void *data, std::size_t bytes);
    void commit();

private:
    fs::path place_, written_;
    std::FILE *file_ = nullptr;
};

OutputFile::Target::Target(const std::string &path) : place_(path), written_(path) {
    std::error_code error;
    const fs::file_status status = fs::status(place_, error);
    if (fs::is_directory(status)) {
        refuse_writing("it is a directory");
    }
    if (!fs::exists(status) || fs::is_regular_file(status)) {
        place_ = fs::exists(status) ? fs::canonical(place_, error) : place_;  // behind links
        written_ = place_.parent_path() / ".aft.tmp";
    }
    file_ = std::fopen(written_.c_str(), "wb");
    if (!file_) {
        refuse_writing(std::strerror(errno));
    }
}

OutputFile::Target::~Target() {
    if (file_) {
        std::fclose(file_);
        if (written_ != place_) {
            std::remove(written_.c_str());
        }
    }
}

void OutputFile::Target::write(const void *data, std::size_t bytes) {
    if (std::fwrite(data, 1, bytes, file_) != bytes) {
        refuse_writing(std::strerror(errno));
    }
}

void OutputFile::Target::commit() {
    if (std::fflush(file_) != 0 || (written_ != place_ && std::rename(written_.c_str(), place_.c_str()) != 0)) {
        refuse_writing(std::strerror(errno));
    }
    std::fclose(std::exchange(file_, nullptr));
}

OutputFile::OutputFile(const std::string &path) : target_(std::make_unique<Target>(path)) {}

OutputFile::~OutputFile() = default;

void OutputFile::write(const void *data, std::size_t bytes) {
    target_->write(data, bytes);
}

void OutputFile::commit() {
    target_->commit();
}

void OutputFile::remove_unfinished() noexcept {}  // no signal ends a module

}  // namespace aft
