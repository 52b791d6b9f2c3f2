#include "system/system.h"

#include <thread>
#include <windows.h>

namespace aft {

bool call_at_fork(void (*)(), void (*)(), void (*)()) {
    return true;  // there is no fork()
}

std::int64_t process_id() {
    return 0;
}

int runnable_processors() {
    DWORD_PTR own = 0, all = 0;  // of a group of 64 at most
    const bool known = GetProcessAffinityMask(GetCurrentProcess(), &own, &all) != 0 && own != 0;
    return known ? __builtin_popcountll(own) : static_cast<int>(std::thread::hardware_concurrency());
}

std::string cpu_name() {
    char name[256] = {};
    DWORD bytes = sizeof(name);
    const bool known = RegGetValueA(HKEY_LOCAL_MACHINE, "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
                                    "ProcessorNameString", RRF_RT_REG_SZ, nullptr, name, &bytes) == ERROR_SUCCESS;
    const std::string text = known ? name : "CPU";
    return text.substr(0, text.find_last_not_of(' ') + 1);
}

std::uint64_t memory_bytes() {
    MEMORYSTATUSEX status = {};
    status.dwLength = sizeof(status);
    return GlobalMemoryStatusEx(&status) != 0 ? status.ullTotalPhys : 0;
}

void ask_for_huge_pages(void *, std::size_t) noexcept {}  // only allocations that a privileged user makes have them

}  // namespace aft
