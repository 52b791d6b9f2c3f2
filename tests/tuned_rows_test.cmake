# cmake -P: the rows that a profile becomes are those that are expected.
cmake_minimum_required(VERSION 3.28)

function(aft_kernel)
    string(JOIN " " row ${ARGN})
    set_property(GLOBAL APPEND PROPERTY rows "${row}")
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/../generators/tuned_rows.cmake)

function(expect)
    set_property(GLOBAL PROPERTY rows "")
    foreach(layer full simple local)
        aft_tuned_kernels(${layer})
    endforeach()
    get_property(rows GLOBAL PROPERTY rows)
    if(NOT rows STREQUAL "${ARGN}")
        message(FATAL_ERROR "the rows are\n${rows}\nnot\n${ARGN}")
    endif()
endfunction()

set(AFT_PROFILE "")
expect()

set(AFT_PROFILE ${CMAKE_CURRENT_LIST_DIR}/data/profile.json)
string(CONCAT full "LAYER full DEVICE cpu SCHEDULE tuned VARIANT b4_t33_h24_p40 HAND packed "
       "PREFERRED seq=17:66 hidden=24:24 projected=40:40 PARAMS depth=64 tile_rows=5")
string(CONCAT local "LAYER local DEVICE cpu SCHEDULE tuned VARIANT b2_t64_h64_p32_s8 "
       "AUTOSCHEDULER Halide::Adams2019 ESTIMATES 2 64 64 32 8 "
       "PREFERRED seq=32:128 hidden=64:64 projected=32:32 window=8:8 PARAMS autoscheduler.random_dropout_seed=3")
expect("${full}" "${local}")
