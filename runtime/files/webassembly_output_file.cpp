#include "files/output_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace aft {
namespace {

namespace fs = std::filesystem;

/// A module has no signals and no other processes beside it, so that the temporary has one name.
class WebAssemblyFile final : public OutputFile {
public:
    explicit WebAssemblyFile(const std::string &path);
    ~WebAssemblyFile() override;

    void write(const void *data, std::size_t bytes) override;
    void commit() override;

private:
    fs::path place_, written_;
    std::FILE *file_ = nullptr;
};

WebAssemblyFile::WebAssemblyFile(const std::string &path) : place_(path), written_(path) {
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

WebAssemblyFile::~WebAssemblyFile() {
    if (file_) {
        std::fclose(file_);
        if (written_ != place_) {
            std::remove(written_.c_str());
        }
    }
}

void WebAssemblyFile::write(const void *data, std::size_t bytes) {
    if (std::fwrite(data, 1, bytes, file_) != bytes) {
        refuse_writing(std::strerror(errno));
    }
}

void WebAssemblyFile::commit() {
    if (std::fflush(file_) != 0 || (written_ != place_ && std::rename(written_.c_str(), place_.c_str()) != 0)) {
        refuse_writing(std::strerror(errno));
    }
    std::fclose(std::exchange(file_, nullptr));
}

}  // namespace

std::unique_ptr<OutputFile> OutputFile::open(const std::string &path) {
    return std::make_unique<WebAssemblyFile>(path);
}

void OutputFile::remove_unfinished() noexcept {}  // no signal ends a module

}  // namespace aft
