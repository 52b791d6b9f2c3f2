#include "signals.h"
#include "streams.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <fcntl.h>
#include <io.h>
#include <windows.h>

namespace aft::cli {

// The numbers of closed streams stay theirs. Results are the same bytes on every system.
void open_closed_streams() noexcept {
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
}

bool is_standard_output(const std::string &) noexcept {
    return false;  // no path leads to it
}

void make_utf8(int argc, char **argv) {
    static std::deque<std::string> kept;
    int count = 0;
    wchar_t **const words = CommandLineToArgvW(GetCommandLineW(), &count);
    for (int i = 0; words && i < std::min(argc, count); ++i) {
        std::string text(WideCharToMultiByte(CP_UTF8, 0, words[i], -1, nullptr, 0, nullptr, nullptr), '\0');
        WideCharToMultiByte(CP_UTF8, 0, words[i], -1, text.data(), static_cast<int>(text.size()), nullptr, nullptr);
        argv[i] = kept.emplace_back(std::move(text)).data();
    }
    LocalFree(words);
}

void remove_unfinished_files_on_signals() noexcept {}  // the system removes them

}  // namespace aft::cli
