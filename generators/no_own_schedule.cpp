#include "schedules/own.h"

/// The library's kernels have the schedules of generators/schedules.
aft::OwnSchedule aft::own_schedule() {
    return {};
}
