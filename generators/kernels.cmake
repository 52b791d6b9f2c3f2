# THE TABLE. One row is one kernel: a static library, a row of the registry, a test and a benchmark; on the CPU, one for
# each of AFT_TARGETS. Within a layer and a device the rows stand in order of preference, those of the first target
# first: the first one that this machine can run and that is for a call's shape runs.
#
#   aft_kernel(LAYER full|local|simple DEVICE cpu|cuda|opencl|vulkan SCHEDULE <name>
#              [HAND naive|packed|tiled|exact] the hand schedule it is built with; default: SCHEDULE itself
#              [AUTOSCHEDULER <plugin>         or one of Halide's autoschedulers
#               ESTIMATES <batch> <seq> <hidden> <projected> <window>]   that it is made for; it takes no smaller ones
#              [VARIANT <name>]                appended to the id
#              [PREFERRED <extent>=<from>:<to>...]   seq, hidden, projected or window: the shapes that it's for
#              [PARAMS <name>=<value>...])     of the generator or the autoscheduler, e.g. tile_rows=6
include(${CMAKE_CURRENT_LIST_DIR}/tuned_rows.cmake)

set(schedules_cpu packed exact)
set(schedules_cuda tiled exact)
set(schedules_opencl tiled exact)
set(schedules_vulkan tiled exact)
set(autoschedulers_cpu Mullapudi2016 Adams2019 Li2018)
set(autoschedulers_cuda Anderson2021 Li2018)
set(autoschedulers_opencl Li2018)

# What autoscheduled kernels are made for: <variant> <batch> <seq> <hidden> <projected> <window>. Below, Li2018 spreads
# sums over atomic additions, so that the bits would differ from call to call (CPU: seq 64; GPUs: batch 2). OpenCL has
# one size, as Li2018 isn't what one would run there.
set(estimates_cpu "t1024 2 1024 256 256 32" "t192 2 192 192 192 32" "t64 1 64 64 64 16")
set(estimates_cpu_Li2018 "t1024 2 1024 256 256 32" "t192 2 192 192 192 32")
set(estimates_cuda "t1024 16 1024 256 256 32" "t192 16 192 192 192 32")
set(estimates_opencl "t192 16 192 192 192 32")

foreach(device ${AFT_DEVICES})
    foreach(layer full local simple)
        set(row LAYER ${layer} DEVICE ${device})
        if(device STREQUAL cpu)
            aft_tuned_kernels(${layer})
            aft_kernel(${row} SCHEDULE packed VARIANT single PARAMS tile_rows=2 short_sequences=true PREFERRED seq=1:2)
            aft_kernel(${row} SCHEDULE packed VARIANT short PARAMS tile_rows=4 short_sequences=true
                       PREFERRED seq=1:16)
        endif()
        foreach(schedule ${schedules_${device}})
            # AFTSimple has no position bias: its softmax is exact in every schedule.
            if(NOT (layer STREQUAL simple AND schedule STREQUAL exact))
                aft_kernel(${row} SCHEDULE ${schedule})
            endif()
        endforeach()
        if(device STREQUAL cpu)
            # Half of the memory; chosen by nobody who doesn't ask for it.
            aft_kernel(${row} SCHEDULE packed VARIANT bf16 PARAMS bfloat16=true)
            aft_kernel(${row} SCHEDULE packed VARIANT bf16_short PARAMS bfloat16=true tile_rows=4 short_sequences=true)
        endif()
        foreach(autoscheduler ${autoschedulers_${device}})
            string(TOLOWER ${autoscheduler} schedule)
            set(estimates ${estimates_${device}})
            if(DEFINED estimates_${device}_${autoscheduler})
                set(estimates ${estimates_${device}_${autoscheduler}})
            endif()
            aft_autoscheduler_params(params ${autoscheduler} ${layer})
            foreach(variant ${estimates})
                separate_arguments(variant)
                list(POP_FRONT variant name)
                aft_kernel(${row} SCHEDULE ${schedule} AUTOSCHEDULER Halide::${autoscheduler} VARIANT ${name}
                           ESTIMATES ${variant} PARAMS ${params})
            endforeach()
        endforeach()
        # One row at a time: the floor of the comparison.
        aft_kernel(${row} SCHEDULE naive PARAMS tile_rows=1)
    endforeach()
endforeach()
