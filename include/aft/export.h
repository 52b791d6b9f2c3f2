#pragma once

/// @file
/// The mark of functions that a shared library exports.

/// Marks what a shared library of aft exports. Everything else in it is hidden. For C and C++.
#if !defined(_WIN32)
#define AFT_API __attribute__((visibility("default")))
#elif defined(aft_EXPORTS)  // while the library is built as a shared one; its callers need no mark
#define AFT_API __declspec(dllexport)
#else
#define AFT_API
#endif
