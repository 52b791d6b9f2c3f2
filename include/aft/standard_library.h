#pragma once

/// @file
/// The check that program and library are compiled for the same standard library. Types such as std::string have
/// another layout in another one, with _GLIBCXX_DEBUG, and with _GLIBCXX_USE_CXX11_ABI=0: such a program would crash.
/// So it isn't linked, and the symbol that the linker misses says what the library must be built with.

#include <aft/export.h>

#include <cstddef>  // defines what the conditions ask for

/// @cond
#define AFT_JOINED(a, b, c) a##b##c
#define AFT_JOIN(a, b, c) AFT_JOINED(a, b, c)
#if defined(_LIBCPP_VERSION)
#define AFT_STANDARD_LIBRARY AFT_JOIN(aft_needs_a_library_built_with_libcxx_abi_, _LIBCPP_ABI_VERSION, )
#elif defined(_GLIBCXX_DEBUG)
#define AFT_STANDARD_LIBRARY \
    AFT_JOIN(aft_needs_a_library_built_with_GLIBCXX_USE_CXX11_ABI_, _GLIBCXX_USE_CXX11_ABI, _and_GLIBCXX_DEBUG)
#else
#define AFT_STANDARD_LIBRARY \
    AFT_JOIN(aft_needs_a_library_built_with_GLIBCXX_USE_CXX11_ABI_, _GLIBCXX_USE_CXX11_ABI, _without_GLIBCXX_DEBUG)
#endif

// Kept by the compiler, and by a linker that drops what nothing refers to.
#if defined(__ELF__) && defined(__has_cpp_attribute) && __has_cpp_attribute(gnu::retain)
#define AFT_KEPT gnu::used, gnu::retain
#else
#define AFT_KEPT gnu::used
#endif

extern "C" AFT_API const char AFT_STANDARD_LIBRARY;  // the library defines the one of its own build

namespace aft {
// Each file has one, since each may be compiled another way.
[[AFT_KEPT]] static const char *const standard_library = &AFT_STANDARD_LIBRARY;
}  // namespace aft
/// @endcond
