# cmake -P: the rows that wisdom becomes are those that are expected.
cmake_minimum_required(VERSION 3.28)

include(${CMAKE_CURRENT_LIST_DIR}/../generators/table/rows.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../generators/table/wisdom.cmake)

aft_begin_kernels(aft DEVICES cpu SCHEDULES all TARGETS host)
aft_tuned_kernels(aft ${CMAKE_CURRENT_LIST_DIR}/data/wisdom.json)

set(rows)
aft_get(ids aft KERNELS)
foreach(id ${ids})
    get_property(row GLOBAL PROPERTY AFT_KERNEL_${id})
    string(JOIN " " row ${id} ${row})
    list(APPEND rows "${row}")
endforeach()
string(CONCAT full "aft_full_cpu_tuned_b4_t33_h24_p40 OPERATION forward LAYER full ALGORITHM dense SCHEDULE tuned "
       "BY packed STORAGE float32 DEVICE cpu VARIANT b4_t33_h24_p40 PREFERRED seq=17:66 hidden=24:24 projected=40:40 "
       "PARAMS depth=64 tile_rows=5 TARGET host")
string(CONCAT local "aft_local_cpu_tuned_b2_t64_h64_p32_s8 OPERATION forward LAYER local ALGORITHM banded "
       "SCHEDULE tuned BY adams2019 STORAGE float32 DEVICE cpu VARIANT b2_t64_h64_p32_s8 ESTIMATES 2 64 64 32 8 "
       "PREFERRED seq=32:128 hidden=64:64 projected=32:32 window=8:8 PARAMS autoscheduler.random_dropout_seed=3 "
       "TARGET host")
if(NOT rows STREQUAL "${full};${local}")
    message(FATAL_ERROR "the rows are\n${rows}\nnot\n${full};${local}")
endif()
