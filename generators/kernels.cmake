# THE TABLE. One row is one kernel: a static library, a row of the registry, a test and a benchmark. Within a layer the
# rows stand in order of preference: the first one that can do a call's shape runs.
#
#   aft_kernel(LAYER full|local|simple SCHEDULE <name>
#              [HAND naive|packed|exact]       the hand schedule it is built with; default: SCHEDULE itself
#              [AUTOSCHEDULER <plugin>         or one of Halide's autoschedulers
#               ESTIMATES <batch> <seq> <hidden> <projected> <window>]   that it is made for; it takes no smaller ones
#              [VARIANT <name>]                appended to the id
#              [PARAMS <name>=<value>...])     of the generator or the autoscheduler, e.g. tile_rows=6
include(${CMAKE_CURRENT_LIST_DIR}/kernel_rows.cmake)

foreach(layer full local simple)
    aft_kernel(LAYER ${layer} SCHEDULE packed)
    if(NOT layer STREQUAL simple) # AFTSimple has no position bias: its softmax is exact in every schedule
        aft_kernel(LAYER ${layer} SCHEDULE exact)
    endif()
    foreach(autoscheduler Mullapudi2016 Adams2019 Li2018)
        string(TOLOWER ${autoscheduler} schedule)
        set(row LAYER ${layer} SCHEDULE ${schedule} AUTOSCHEDULER Halide::${autoscheduler})
        aft_kernel(${row} VARIANT t1024 ESTIMATES 2 1024 256 256 32)
        aft_kernel(${row} VARIANT t192 ESTIMATES 2 192 192 192 32)
        if(NOT autoscheduler STREQUAL Li2018) # there Li2018 sums atomically: the bits would differ from call to call
            aft_kernel(${row} VARIANT t64 ESTIMATES 1 64 64 64 32)
        endif()
    endforeach()
    aft_kernel(LAYER ${layer} SCHEDULE naive)
endforeach()
