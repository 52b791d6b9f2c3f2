# cmake -P: the rows that aft_add_kernels() makes are those that are expected, and what it can't make is refused.
cmake_minimum_required(VERSION 3.28)

include(${CMAKE_CURRENT_LIST_DIR}/../generators/add_kernels.cmake)

# Whatever would generate and build.
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

# The rows of the table `mine`, with the columns that all rows have in common left out.
function(expect)
    aft_get(ids mine KERNELS)
    set(rows)
    foreach(id ${ids})
        get_property(row GLOBAL PROPERTY AFT_KERNEL_${id})
        string(JOIN " " row ${id}: ${row})
        string(REGEX REPLACE "OPERATION forward LAYER [a-z]+ |STORAGE float32 DEVICE cpu VARIANT [^ ]+ " "" row
               "${row}")
        list(APPEND rows "${row}")
    endforeach()
    if(NOT rows STREQUAL "${ARGN}")
        message(FATAL_ERROR "the rows are\n${rows}\nnot\n${ARGN}")
    endif()
endfunction()

aft_add_kernels(mine LAYERS full local SHAPES "B=2,T=512,H=256,P=128,s=32" SCHEDULES packed li2018 TARGET arm-64-linux)
set(for_full "PREFERRED seq=512:512 hidden=256:256 projected=128:128")
set(for_local "${for_full} window=32:32")
expect("mine_full_cpu_packed_b2_t512_h256_p128: ALGORITHM dense SCHEDULE packed BY packed ${for_full} \
TARGET arm-64-linux"
       "mine_full_cpu_li2018_b2_t512_h256_p128: ALGORITHM dense SCHEDULE li2018 BY li2018 ESTIMATES 2 512 256 128 1 \
${for_full} TARGET arm-64-linux"
       "mine_local_cpu_packed_b2_t512_h256_p128_s32: ALGORITHM banded SCHEDULE packed BY packed ${for_local} \
TARGET arm-64-linux"
       "mine_local_cpu_li2018_b2_t512_h256_p128_s32: ALGORITHM banded SCHEDULE li2018 BY li2018 ESTIMATES 2 512 256 \
128 32 ${for_local} TARGET arm-64-linux")

# AFTSimple has no `exact`; extents that are left out are any, and a schedule of one's own comes first.
aft_add_kernels(mine SHAPES "T=1:16" "H=64" SCHEDULES exact SCHEDULE_SOURCE folder/tiled_rows.cpp PARAMS tile_rows=4)
set(rows)
set(layers full local simple)
set(algorithms dense banded softmax)
foreach(layer algorithm IN ZIP_LISTS layers algorithms)
    set(own "ALGORITHM ${algorithm} SCHEDULE tiled_rows BY own")
    set(exact "ALGORITHM exact SCHEDULE packed BY packed")
    set(end "PARAMS tile_rows=4 TARGET host")
    list(APPEND rows
         "mine_${layer}_cpu_tiled_rows_t1to16: ${own} PREFERRED seq=1:16 ${end}"
         "mine_${layer}_cpu_tiled_rows_h64: ${own} PREFERRED hidden=64:64 ${end}")
    if(NOT layer STREQUAL "simple")
        list(APPEND rows
             "mine_${layer}_cpu_exact_t1to16: ${exact} PREFERRED seq=1:16 ${end}"
             "mine_${layer}_cpu_exact_h64: ${exact} PREFERRED hidden=64:64 ${end}")
    endif()
endforeach()
expect(${rows})
get_property(generator GLOBAL PROPERTY generator)
if(NOT generator MATCHES "^mine_generator;/.*/folder/tiled_rows.cpp;forward;prepare$")
    message(FATAL_ERROR "the generator is ${generator}")
endif()

aft_add_kernels(mine LAYERS simple SHAPES T=8 SCHEDULES packed STORAGE bfloat16)
aft_get(ids mine KERNELS)
if(NOT ids STREQUAL "mine_simple_cpu_packed_bf16_t8")
    message(FATAL_ERROR "the kernels in bfloat16 are ${ids}")
endif()
aft_add_kernels(mine LAYERS simple SHAPES T=1 SCHEDULES packed STORAGE int8)
aft_get(ids mine KERNELS)
if(NOT ids STREQUAL "mine_simple_cpu_packed_int8_t1")
    message(FATAL_ERROR "the kernels in int8 are ${ids}")
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
expect_refusal("LAYERS has 'ful', must be one of full, local, simple" mine LAYERS ful SCHEDULES packed ${shape})
expect_refusal("DEVICE is cuda, must be one that aft was built for: cpu" mine SCHEDULES tiled DEVICE cuda ${shape})
expect_refusal("adams2019 needs every extent of layer local in shape 'T=512,H=256,P=128'"
               mine LAYERS local SCHEDULES adams2019 ${shape})
expect_refusal("'T=512x' in shape 'T=512x' must be B=" mine SCHEDULES packed SHAPES T=512x)
expect_refusal("'B=0' in shape 'B=0' must be B=" mine SCHEDULES packed SHAPES B=0)
expect_refusal("'H=1:2' in shape 'H=1:2' must be B=" mine SCHEDULES packed SHAPES H=1:2)
expect_refusal("'T=16:1' in shape 'T=16:1' is an empty range" mine SCHEDULES packed SHAPES T=16:1)
expect_refusal("schedule 'tiled' can't make algorithm dense on cpu in float32; those that can: packed, naive,"
               mine SCHEDULES tiled ${shape})
expect_refusal("schedule 'anderson2021' can't make algorithm softmax on cpu in float32; those that can: packed, naive,"
               mine LAYERS simple SCHEDULES anderson2021 ${shape})
expect_refusal("schedule 'packed' can't make algorithm exact on cpu in int8; those that can: none"
               mine LAYERS full SCHEDULES exact STORAGE int8 ${shape})
expect_refusal("schedule 'packed' can't make algorithm exact on cpu in bfloat16; those that can: none"
               mine LAYERS full SCHEDULES exact STORAGE bfloat16 ${shape})
