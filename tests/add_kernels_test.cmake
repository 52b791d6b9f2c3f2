# cmake -P: the rows that aft_add_kernels() makes are those that are expected, and what it can't make is refused.
cmake_minimum_required(VERSION 3.28)

include(${CMAKE_CURRENT_LIST_DIR}/../generators/add_kernels.cmake)

# What would generate and build.
function(aft_kernel)
    string(JOIN " " row ${AFT_TABLE} ${AFT_TARGETS} ${ARGN})
    set_property(GLOBAL APPEND PROPERTY rows "${row}")
endfunction()
function(aft_add_generator name)
    set_property(GLOBAL PROPERTY generator "${ARGV}")
endfunction()
function(aft_finish_kernels)
endfunction()
macro(aft_find_halide)
endmacro()

set_property(GLOBAL PROPERTY AFT_DEVICES cpu)
if(REFUSED)
    aft_add_kernels(${REFUSED})
    return()
endif()

function(expect)
    get_property(rows GLOBAL PROPERTY rows)
    if(NOT rows STREQUAL "${ARGN}")
        message(FATAL_ERROR "the rows are\n${rows}\nnot\n${ARGN}")
    endif()
    set_property(GLOBAL PROPERTY rows "")
endfunction()

aft_add_kernels(mine LAYERS full local SHAPES "B=2,T=512,H=256,P=128,s=32" SCHEDULES packed li2018 TARGET arm-64-linux)
string(CONCAT full "SCHEDULE packed VARIANT b2_t512_h256_p128 PREFERRED seq=512:512 hidden=256:256 projected=128:128")
set(for_local "seq=512:512 hidden=256:256 projected=128:128 window=32:32")
expect("mine arm-64-linux LAYER full DEVICE cpu ${full} PARAMS"
       "mine arm-64-linux LAYER full DEVICE cpu SCHEDULE li2018 VARIANT b2_t512_h256_p128 PREFERRED seq=512:512\
 hidden=256:256 projected=128:128 AUTOSCHEDULER Halide::Li2018 ESTIMATES 2 512 256 128 1 PARAMS"
       "mine arm-64-linux LAYER local DEVICE cpu SCHEDULE packed VARIANT b2_t512_h256_p128_s32 PREFERRED ${for_local}\
 PARAMS"
       "mine arm-64-linux LAYER local DEVICE cpu SCHEDULE li2018 VARIANT b2_t512_h256_p128_s32 PREFERRED ${for_local}\
 AUTOSCHEDULER Halide::Li2018 ESTIMATES 2 512 256 128 32 PARAMS")

# AFTSimple has no `exact`; extents that are left out are any, and a schedule of one's own comes first.
aft_add_kernels(mine SHAPES "T=1:16" "H=64" SCHEDULES exact SCHEDULE_SOURCE folder/tiled_rows.cpp PARAMS tile_rows=4)
set(own "HAND own PARAMS tile_rows=4")
set(rows)
foreach(layer full simple local)
    list(APPEND rows
         "mine host LAYER ${layer} DEVICE cpu SCHEDULE tiled_rows VARIANT t1to16 PREFERRED seq=1:16 ${own}"
         "mine host LAYER ${layer} DEVICE cpu SCHEDULE tiled_rows VARIANT h64 PREFERRED hidden=64:64 ${own}")
    if(NOT layer STREQUAL simple)
        list(APPEND rows
             "mine host LAYER ${layer} DEVICE cpu SCHEDULE exact VARIANT t1to16 PREFERRED seq=1:16 PARAMS tile_rows=4"
             "mine host LAYER ${layer} DEVICE cpu SCHEDULE exact VARIANT h64 PREFERRED hidden=64:64 PARAMS tile_rows=4")
    endif()
endforeach()
expect(${rows})
get_property(generator GLOBAL PROPERTY generator)
if(NOT generator MATCHES "^mine_generator;/.*/folder/tiled_rows.cpp$")
    message(FATAL_ERROR "the generator is ${generator}")
endif()

function(expect_refusal message)
    execute_process(COMMAND ${CMAKE_COMMAND} "-DREFUSED=${ARGN}" -P ${CMAKE_CURRENT_LIST_FILE}
                    RESULT_VARIABLE code ERROR_VARIABLE error)
    string(REGEX REPLACE "[ \n]+" " " error "${error}")
    string(FIND "${error}" "aft_add_kernels: ${message}" found)
    if(code EQUAL 0 OR found EQUAL -1)
        message(FATAL_ERROR "${ARGN}: said\n${error}\nnot\n${message}")
    endif()
endfunction()

set(shape SHAPES T=512,H=256,P=128)
expect_refusal("the name 'aft' must be letters, digits and _, and not aft" aft SCHEDULES packed ${shape})
expect_refusal("the name 'my-kernels' must be" my-kernels SCHEDULES packed ${shape})
expect_refusal("mine needs SHAPES, and SCHEDULES or a SCHEDULE_SOURCE" mine SCHEDULES packed)
expect_refusal("mine needs SHAPES, and SCHEDULES or a SCHEDULE_SOURCE" mine ${shape})
expect_refusal("unknown arguments SHEDULES" mine SHEDULES packed ${shape})
expect_refusal("SCHEDULES has 'packd', which doesn't exist" mine SCHEDULES packd ${shape})
expect_refusal("LAYERS has 'ful', must be full, simple or local" mine LAYERS ful SCHEDULES packed ${shape})
expect_refusal("DEVICE is cuda, must be one that aft was built for: cpu" mine SCHEDULES tiled DEVICE cuda ${shape})
expect_refusal("adams2019 needs every extent of layer local in shape 'T=512,H=256,P=128'"
               mine LAYERS local SCHEDULES adams2019 ${shape})
expect_refusal("'T=512x' in shape 'T=512x' must be B=" mine SCHEDULES packed SHAPES T=512x)
expect_refusal("'B=0' in shape 'B=0' must be B=" mine SCHEDULES packed SHAPES B=0)
expect_refusal("'H=1:2' in shape 'H=1:2' must be B=" mine SCHEDULES packed SHAPES H=1:2)
expect_refusal("'T=16:1' in shape 'T=16:1' is an empty range" mine SCHEDULES packed SHAPES T=16:1)
