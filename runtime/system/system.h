#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace aft {

/// @file
/// The functions that the library needs of the operating system, but for files. Each system has a file of its own here.

/// Has functions called before and after each fork(), or returns false where memory runs out. Null functions are left
/// out.
bool call_at_fork(void (*before)(), void (*in_parent)(), void (*in_child)());

/// A child of fork() has another one than its parent.
std::int64_t process_id();

/// The number of processors that this process may run on.
int runnable_processors();

/// The name of the CPU, and the bytes of the machine's memory.
std::string cpu_name();
std::uint64_t memory_bytes();

/// Asks for huge pages within new memory, if it is large enough: processors fetch ahead only within a page, and look up
/// fewer of them. Memory goes without them where the system doesn't have any.
void ask_for_huge_pages(void *memory, std::size_t bytes) noexcept;

}  // namespace aft
