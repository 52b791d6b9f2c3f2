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

# Lengths take the place of those of the table's rows.
aft_begin_kernels(measured DEVICES cpu SCHEDULES all TARGETS host)
aft_tuned_kernels(measured ${CMAKE_CURRENT_LIST_DIR}/data/wisdom_lengths.json)
aft_kernel_rows(measured OPERATION forward DEVICE cpu ROWS [[
#   algorithms | schedule | storage | variant | extents  | parameters
    usual      | packed   | float32 | single  | seq=1:2  | tile_rows=2 short_sequences=true
    usual      | packed   | float32 | short   | seq=1:16 | tile_rows=4 short_sequences=true
    usual      | packed   | float32 |         |          |
]])
function(check_lengths id expected)
    aft_get_row(${id})
    if(NOT "${ROW_PREFERRED}" STREQUAL "${expected}" OR NOT ROW_SCHEDULE STREQUAL "packed" OR
       NOT ROW_TARGET STREQUAL "host")
        message(FATAL_ERROR "${id} is preferred for '${ROW_PREFERRED}', not for '${expected}'")
    endif()
endfunction()
check_lengths(measured_full_cpu_packed_single "seq=1:0")
check_lengths(measured_full_cpu_packed_short "seq=3:4;seq=7:8")
check_lengths(measured_full_cpu_packed "")
check_lengths(measured_simple_cpu_packed_single "seq=1:4")
check_lengths(measured_simple_cpu_packed_short "seq=5:16")
check_lengths(measured_simple_cpu_packed "")
check_lengths(measured_local_cpu_packed_single "seq=1:2")
check_lengths(measured_local_cpu_packed_short "seq=1:16")
aft_get(left_out measured MEASURED)
aft_get(ids measured KERNELS)
list(REMOVE_ITEM left_out ${ids})
if(NOT left_out STREQUAL "measured_full_cpu_packed_tiny")
    message(FATAL_ERROR "the kernels that are left out are '${left_out}'")
endif()
