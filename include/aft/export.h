#pragma once

/// @file
/// What a shared library exports.

/// What a shared library of aft exports, when all else in it is hidden. C and C++.
#if !defined(_WIN32)
#define AFT_API __attribute__((visibility("default")))
#elif defined(aft_EXPORTS)  // while the library is built as a shared one; its callers need no mark
#define AFT_API __declspec(dllexport)
#else
#define AFT_API
#endif
