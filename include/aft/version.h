#pragma once

/// @file
/// The library's version.

/// major.minor.patch
#define AFT_VERSION "0.1.0"
