#include "files/input_file.h"
#include "files/output_file.h"
#include "files/trust.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <io.h>
#include <random>
#include <sys/stat.h>
#include <system_error>
#include <vector>
#include <windows.h>

namespace aft {
namespace {

constexpr std::size_t most_bytes = 1 << 30;  // at a time: the system counts them in 32 bits

/// A path of the library is UTF-8, one of the system UTF-16.
std::wstring wide(const std::string &path) {
    const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.c_str(), -1, nullptr, 0);
    if (length == 0) {
        throw WeightsError("the path isn't UTF-8");
    }
    std::wstring result(length - 1, L'\0');
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.c_str(), -1, result.data(), length);
    return result;
}

/// In the words of the C library where it has any, as on other systems.
std::string last_problem() {
    return std::system_category().default_error_condition(static_cast<int>(GetLastError())).message();
}

[[noreturn]] void fail_reading(const std::string &what, const std::string &why) {
    throw WeightsError(what + ": " + why);
}

std::wstring full_path(const std::wstring &path) {
    std::wstring result(GetFullPathNameW(path.c_str(), 0, nullptr, nullptr), L'\0');
    result.resize(GetFullPathNameW(path.c_str(), static_cast<DWORD>(result.size()), result.data(), nullptr));
    return result.empty() ? path : result;
}

/// The path of an open file, behind links.
std::wstring path_of(HANDLE file) {
    std::wstring result(GetFinalPathNameByHandleW(file, nullptr, 0, 0), L'\0');
    result.resize(GetFinalPathNameByHandleW(file, result.data(), static_cast<DWORD>(result.size()), 0));
    const bool has_drive = result.size() > 5 && result[5] == L':';  // \\?\C:\..., whose prefix renaming doesn't take
    return has_drive ? result.substr(4) : result;
}

/// A position, which the system wants in halves.
OVERLAPPED at(std::uint64_t position) {
    OVERLAPPED result = {};
    result.Offset = static_cast<DWORD>(position);
    result.OffsetHigh = static_cast<DWORD>(position >> 32);
    return result;
}

}  // namespace

InputFile::InputFile(const std::string &path) {
    const std::wstring name = wide(path);
    struct _stat64 status = {};
    if (_wstat64(name.c_str(), &status) != 0) {
        fail_reading("can't be opened", std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        throw WeightsError("not a regular file");
    }
    file_ = FileDescriptor(_wopen(name.c_str(), _O_RDONLY | _O_BINARY | _O_NOINHERIT));
    if (!file_.is_open() || _fstat64(file_.number(), &status) != 0) {
        fail_reading("can't be opened", std::strerror(errno));
    }
    bytes_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(std::uint64_t begin, void *data, std::size_t bytes) const {
    const auto file = reinterpret_cast<HANDLE>(_get_osfhandle(file_.number()));
    for (auto *next = static_cast<char *>(data); bytes > 0;) {
        OVERLAPPED place = at(begin);
        DWORD count = 0;
        const bool done = ReadFile(file, next, static_cast<DWORD>(std::min(bytes, most_bytes)), &count, &place) != 0;
        if (!done && GetLastError() != ERROR_HANDLE_EOF) {
            fail_reading("can't be read", last_problem());
        }
        if (count == 0) {
            throw WeightsError("ends at byte " + std::to_string(begin) + ", had " + std::to_string(bytes_) +
                               " bytes when it was opened");
        }
        next += count;
        begin += count;
        bytes -= count;
    }
}

namespace {

/// The system removes the temporary when it is closed, also when the process ends in any way, until
/// commit() takes that back.
class WindowsFile final : public OutputFile {
public:
    explicit WindowsFile(const std::string &path);
    ~WindowsFile() override;

    void write(const void *data, std::size_t bytes) override;
    void commit() override;

private:
    bool remove_when_closed(bool remove) {
        FILE_DISPOSITION_INFO info = {static_cast<BOOLEAN>(remove)};
        return SetFileInformationByHandle(file_, FileDispositionInfo, &info, sizeof(info)) != 0;
    }
    void create_beside();
    void take_place();

    std::wstring place_;
    bool is_temporary_ = false;
    HANDLE file_ = INVALID_HANDLE_VALUE;
};

WindowsFile::WindowsFile(const std::string &path) : place_(full_path(wide(path))) {
    const DWORD attributes = GetFileAttributesW(place_.c_str());
    if (attributes == INVALID_FILE_ATTRIBUTES) {
        if (GetLastError() != ERROR_FILE_NOT_FOUND) {
            refuse_writing(last_problem());
        }
        create_beside();
        return;
    }
    if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        refuse_writing("it is a directory");
    }
    if ((attributes & FILE_ATTRIBUTE_READONLY) != 0) {
        refuse_writing("it is read-only");
    }
    file_ = CreateFileW(place_.c_str(), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                        OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file_ == INVALID_HANDLE_VALUE) {
        refuse_writing(last_problem());
    }
    if (GetFileType(file_) == FILE_TYPE_DISK) {
        place_ = path_of(file_);
        CloseHandle(std::exchange(file_, INVALID_HANDLE_VALUE));
        create_beside();
    }
}

WindowsFile::~WindowsFile() {
    if (file_ != INVALID_HANDLE_VALUE) {
        CloseHandle(file_);
    }
}

void WindowsFile::create_beside() {
    std::random_device random;
    const std::uint64_t number = std::uint64_t{random()} << 32 | random();
    wchar_t name[32];
    swprintf(name, std::size(name), L".aft-%016llx.tmp", static_cast<unsigned long long>(number));
    const std::wstring temporary = (std::filesystem::path(place_).parent_path() / name).wstring();
    file_ = CreateFileW(temporary.c_str(), GENERIC_WRITE | DELETE, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                        CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file_ == INVALID_HANDLE_VALUE || !remove_when_closed(true)) {
        const std::string why = last_problem();
        refuse_writing("a temporary file beside it: " + why);
    }
    is_temporary_ = true;
}

void WindowsFile::write(const void *data, std::size_t bytes) {
    for (const char *next = static_cast<const char *>(data); bytes > 0;) {
        DWORD count = 0;
        if (WriteFile(file_, next, static_cast<DWORD>(std::min(bytes, most_bytes)), &count, nullptr) == 0) {
            refuse_writing(last_problem());
        }
        next += count;
        bytes -= count;
    }
}

void WindowsFile::commit() {
    if (!is_temporary_) {
        return;
    }
    if (FlushFileBuffers(file_) == 0) {
        refuse_writing(last_problem());
    }
    take_place();
}

void WindowsFile::take_place() {
    std::vector<std::byte> memory(sizeof(FILE_RENAME_INFO) + place_.size() * sizeof(wchar_t));
    auto *info = reinterpret_cast<FILE_RENAME_INFO *>(memory.data());
    info->ReplaceIfExists = TRUE;
    info->FileNameLength = static_cast<DWORD>(place_.size() * sizeof(wchar_t));
    std::memcpy(info->FileName, place_.c_str(), info->FileNameLength);
    if (!remove_when_closed(false) ||
        SetFileInformationByHandle(file_, FileRenameInfo, info, static_cast<DWORD>(memory.size())) == 0) {
        const std::string why = last_problem();
        remove_when_closed(true);
        refuse_writing(why);
    }
}

}  // namespace

std::unique_ptr<OutputFile> OutputFile::open(const std::string &path) {
    return std::make_unique<WindowsFile>(path);
}

void OutputFile::remove_unfinished() noexcept {}  // the system does

std::string why_not_trusted(const std::string &) {
    return "";  // no file is code here: libraries are loaded on Linux only
}

}  // namespace aft
