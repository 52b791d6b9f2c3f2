# THE TABLE. One row is one kernel: a static library, a row of the registry, a test and a benchmark. Within a layer the
# rows stand in order of preference: the first one that can do a call's shape runs.
#
#   aft_kernel(LAYER full|local|simple SCHEDULE <name>
#              [HAND naive|packed|exact]     the hand schedule it is built with; default: SCHEDULE itself
#              [AUTOSCHEDULER <plugin>]      or this one of Halide's autoschedulers
#              [VARIANT <name>]              appended to the id
#              [PARAMS <name>=<value>...])   generator and autoscheduler parameters
include(${CMAKE_CURRENT_LIST_DIR}/kernel_rows.cmake)

foreach(layer full local simple)
    aft_kernel(LAYER ${layer} SCHEDULE packed)
    if(NOT layer STREQUAL simple) # AFTSimple has no position bias: its softmax is exact in every schedule
        aft_kernel(LAYER ${layer} SCHEDULE exact)
    endif()
    aft_kernel(LAYER ${layer} SCHEDULE mullapudi2016 AUTOSCHEDULER Halide::Mullapudi2016)
    aft_kernel(LAYER ${layer} SCHEDULE adams2019 AUTOSCHEDULER Halide::Adams2019)
    aft_kernel(LAYER ${layer} SCHEDULE li2018 AUTOSCHEDULER Halide::Li2018)
    aft_kernel(LAYER ${layer} SCHEDULE naive)
endforeach()
