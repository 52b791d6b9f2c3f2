#include <schedules/cpu_packed.h>
#include <schedules/own.h>

/// In panels, for one layer. This calls the library's own schedule, for other tiles (the PARAMS of the kernels); a copy
/// of schedules/cpu_packed.h is where a change of its loops begins.
aft::OwnSchedule aft::own_schedule() {
    OwnSchedule own;
    own.in_panels<AftFull>() = [](Panels &form, AftFull<Panels> &layer, Halide::Func y, const LayerInputs &inputs,
                                  const TileRequest &tiles) {
        CpuPacked(form, knobs_for(form.tiles, tiles), /*short_sequences=*/false).schedule(layer, y, inputs);
    };
    return own;
}
