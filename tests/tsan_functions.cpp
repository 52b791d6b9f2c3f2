// Functions of ThreadSanitizer that code by LLVM 15 and later calls and that the runtimes of GCC 12 and Clang 14 lack.
// They see what memset() and memcpy() do.
#include <cstddef>
#include <cstring>

extern "C" {
void *__tsan_memset(void *memory, int value, std::size_t bytes) {
    return std::memset(memory, value, bytes);
}
void *__tsan_memcpy(void *to, const void *from, std::size_t bytes) {
    return std::memcpy(to, from, bytes);
}
void *__tsan_memmove(void *to, const void *from, std::size_t bytes) {
    return std::memmove(to, from, bytes);
}
}
