#pragma once

#define AFT_VERSION "0.1.0"
