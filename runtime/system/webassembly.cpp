#include "system/system.h"

#include <emscripten/heap.h>

namespace aft {

bool call_at_fork(void (*)(), void (*)(), void (*)()) {
    return true;  // there is no fork()
}

std::int64_t process_id() {
    return 0;
}

int runnable_processors() {
    return 1;  // the library is built without threads: pages would need headers of their server for them
}

std::string cpu_name() {
    return "WebAssembly";
}

std::uint64_t memory_bytes() {
    return emscripten_get_heap_max();
}

void ask_for_huge_pages(void *, std::size_t) noexcept {}  // there are no pages of other sizes

}  // namespace aft
