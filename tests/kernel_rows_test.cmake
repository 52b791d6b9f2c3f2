# cmake -P: a row becomes the kernels that are expected, and one that can't be made is refused.
cmake_minimum_required(VERSION 3.28)

include(${CMAKE_CURRENT_LIST_DIR}/../generators/table/rows.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../generators/table/libraries.cmake)

if(REFUSED STREQUAL "text")
    aft_begin_kernels(aft DEVICES cpu SCHEDULES all TARGETS host)
    aft_kernel_rows(aft OPERATION forward DEVICE cpu ROWS [[
        usual | naive  | float32 | | |
        usual | pakced | float32 | | |
    ]])
    return()
endif()
if(REFUSED)
    aft_begin_kernels(aft DEVICES cpu SCHEDULES all TARGETS host)
    aft_kernel(aft OPERATION forward LAYER full ALGORITHM dense SCHEDULE naive STORAGE float32 DEVICE cpu)
    aft_kernel(aft OPERATION forward STORAGE float32 ${REFUSED})
    return()
endif()

function(expect what expected)
    if(NOT "${ARGN}" STREQUAL expected)
        message(FATAL_ERROR "${what} is\n${ARGN}\nnot\n${expected}")
    endif()
endfunction()

# A kernel of the CPU for each target, and one of a GPU, for the last; other devices and other names are left out.
aft_begin_kernels(aft DEVICES cpu cuda SCHEDULES packed tiled exact TARGETS x86-64-linux-avx2 x86-64-linux-sse41)
aft_kernel_rows(aft OPERATION forward DEVICE cpu ROWS [[
    # A comment.
    usual                | packed | float32  | short | seq=1:16     | tile_rows=4 depth=64
    exact                | packed | float32  |       |              |
    dense                | packed | bfloat16 | bf16  |              |
    dense                | packed | int8     | int8  |              |
    dense                | li2018 | float32  |       | 1 64 64 64 2 |
]])
aft_kernel(aft OPERATION forward LAYER full ALGORITHM dense SCHEDULE tiled STORAGE float32 DEVICE cuda)
aft_kernel(aft OPERATION forward LAYER full ALGORITHM dense SCHEDULE tiled STORAGE float32 DEVICE vulkan)
aft_get(ids aft KERNELS)
set(expected)
foreach(kernel full_cpu_packed_short full_cpu_exact full_cpu_packed_bf16 full_cpu_packed_int8 local_cpu_packed_short
               local_cpu_exact simple_cpu_packed_short)
    list(APPEND expected aft_${kernel}@avx2 aft_${kernel}@sse41)
endforeach()
expect("the list of ids" "${expected};aft_full_cuda_tiled" ${ids})

function(expect_command id half expected)
    aft_generator_command(generator params ${id} ${half})
    expect("the command of ${id}, ${half}," "${expected}" ${generator} ${params})
endfunction()
expect_command(aft_local_cpu_packed_short@avx2 call
               "aft_forward;layer_bias=banded;algorithm=banded;schedule=packed;device=cpu;tile_rows=4;depth=64")
expect_command(aft_full_cpu_exact@sse41 prepare "aft_prepare;layer_bias=dense;algorithm=exact;schedule=packed;device=cpu")
expect_command(aft_full_cpu_packed_bf16@sse41 prepare
               "aft_prepare;layer_bias=dense;algorithm=dense;schedule=packed;device=cpu;storage=bfloat16")

# Kernels in panels that differ in the rows of a tile have the same layout of weights.
function(expect_weight_layout table id expected)
    aft_weight_layout(layout ${table} ${id})
    expect("the layout of the weights of ${id}" "${expected}" ${layout})
endfunction()
expect_weight_layout(aft aft_local_cpu_packed_short@avx2 "panels cpu float32 x86-64-linux-avx2")
expect_weight_layout(aft aft_full_cpu_exact@avx2 "panels cpu float32 x86-64-linux-avx2")
expect_weight_layout(aft aft_full_cpu_exact@sse41 "panels cpu float32 x86-64-linux-sse41")
expect_weight_layout(aft aft_full_cpu_packed_int8@sse41 "panels cpu int8 x86-64-linux-sse41")
expect_weight_layout(aft aft_full_cpu_packed_bf16@sse41 "panels cpu bfloat16 x86-64-linux-sse41")
expect_weight_layout(aft aft_full_cuda_tiled "panels cuda float32 x86-64-linux-sse41")

# An autoscheduler gets its parameters, unless the row has some, and its kernels share what prepares them.
aft_begin_kernels(mine DEVICES cpu SCHEDULES all TARGETS host)
foreach(params "" tile_rows=2)
    aft_kernel(mine OPERATION forward LAYER full ALGORITHM dense SCHEDULE mullapudi2016 STORAGE float32 DEVICE cpu
               VARIANT ${params} ESTIMATES 1 2 3 4 5 PARAMS ${params})
endforeach()
set(estimates "estimated_batch=1;estimated_seq=2;estimated_hidden=3;estimated_projected=4")
expect_command(mine_full_cpu_mullapudi2016 call
               "aft_forward;layer_bias=dense;algorithm=dense;schedule=naive;device=cpu;tile_rows=4;${estimates}")
expect_command(mine_full_cpu_mullapudi2016_tile_rows=2 call
               "aft_forward;layer_bias=dense;algorithm=dense;schedule=naive;device=cpu;tile_rows=2;${estimates}")
expect_command(mine_full_cpu_mullapudi2016 prepare "aft_prepare;layer_bias=dense;algorithm=dense;schedule=naive")

function(expect_libraries id expected)
    aft_library_names(call prepare mine ${id})
    expect("the libraries of ${id}" "${expected}" ${call} ${prepare})
endfunction()
expect_libraries(mine_full_cpu_mullapudi2016 "mine_full_cpu_mullapudi2016;mine_full_flat_prepare")
expect_weight_layout(mine mine_full_cpu_mullapudi2016_tile_rows=2 mine_full_flat_prepare)

# The width of panels is a parameter. A program's own schedule shares no weights with others.
aft_begin_kernels(mine DEVICES cpu SCHEDULES all TARGETS host)
aft_kernel(mine OPERATION forward LAYER full ALGORITHM dense SCHEDULE tuned BY packed STORAGE float32 DEVICE cpu
           PARAMS tile_rows=3 panel_vectors=4)
aft_kernel(mine OPERATION forward LAYER full ALGORITHM dense SCHEDULE fast BY own STORAGE float32 DEVICE cpu)
expect_weight_layout(mine mine_full_cpu_tuned "panels cpu float32 host panel_vectors=4")
expect_weight_layout(mine mine_full_cpu_fast mine_full_cpu_fast_prepare)

# An operation other than forward is in the ids. A projection serves all layers; a scan has nothing to prepare, and no
# channels outside.
aft_begin_kernels(mine DEVICES cpu SCHEDULES all TARGETS host)
aft_kernel_rows(mine OPERATION linear DEVICE cpu ROWS [[
    usual | packed    | float32 |      |            |
    usual | adams2019 | float32 | t64  | 1 64 2 3 4 |
]])
aft_kernel_rows(mine OPERATION scan DEVICE cpu ROWS [[
    usual                             | packed    | float32 |      |            |
    recurrent banded_past convolution | adams2019 | float32 | t64  | 1 64 2 3 4 |
]])
aft_get(ids mine KERNELS)
set(expected mine_linear_cpu_packed mine_linear_cpu_adams2019_t64)
foreach(layer wkv causal_local conv)
    list(APPEND expected mine_scan_${layer}_cpu_packed mine_scan_${layer}_cpu_adams2019_t64)
endforeach()
expect("the list of ids" "${expected}" ${ids})
expect_command(mine_linear_cpu_packed call "aft_linear;schedule=packed;device=cpu")
expect_command(mine_linear_cpu_packed prepare "aft_prepare_linear;schedule=packed;device=cpu")
expect_libraries(mine_linear_cpu_packed "mine_linear_cpu_packed;mine_linear_cpu_packed_prepare")
expect_libraries(mine_linear_cpu_adams2019_t64 "mine_linear_cpu_adams2019_t64;mine_linear_flat_prepare")
expect_command(mine_scan_wkv_cpu_adams2019_t64 call "aft_scan;algorithm=recurrent;schedule=naive;device=cpu;\
autoscheduler.beam_size=2;estimated_batch=1;estimated_seq=64;estimated_projected=3")
expect_command(mine_scan_conv_cpu_packed call "aft_scan;algorithm=certified_convolution;schedule=packed;device=cpu")
expect_libraries(mine_scan_conv_cpu_packed "mine_scan_conv_cpu_packed")

function(expect_refusal message)
    execute_process(COMMAND ${CMAKE_COMMAND} "-DREFUSED=${ARGN}" -P ${CMAKE_CURRENT_LIST_FILE}
                    RESULT_VARIABLE code ERROR_VARIABLE error)
    string(REGEX REPLACE "[ \n]+" " " error "${error}")
    string(FIND "${error}" "${message}" found)
    if(code EQUAL 0 OR found EQUAL -1)
        message(FATAL_ERROR "${ARGN}: said\n${error}\nnot\n${message}")
    endif()
endfunction()

expect_refusal("aft_full_cpu_tiled: schedule 'tiled' can't make algorithm dense on cpu in float32; those that can: \
packed, naive, mullapudi2016, adams2019, li2018" LAYER full ALGORITHM dense SCHEDULE tiled DEVICE cpu)
expect_refusal("aft_local_vulkan_packed: schedule 'packed' can't make algorithm banded on vulkan in float32; those \
that can: tiled, naive" LAYER local ALGORITHM banded SCHEDULE packed DEVICE vulkan)
expect_refusal("aft_full_cpu_exact: schedule 'naive' can't make algorithm exact on cpu in float32; those that can: \
packed"
               LAYER full ALGORITHM exact SCHEDULE naive DEVICE cpu)
expect_refusal("schedule 'li2018' can't make algorithm softmax on vulkan in float32; those that can: tiled, naive"
               LAYER simple ALGORITHM softmax SCHEDULE li2018 DEVICE vulkan)
expect_refusal("schedule 'exact' can't make algorithm dense on cpu"
               LAYER full ALGORITHM dense SCHEDULE exact DEVICE cpu)
expect_refusal("schedule 'tuned' can't make algorithm dense on cpu"
               LAYER full ALGORITHM dense SCHEDULE tuned DEVICE cpu)
expect_refusal("schedule 'packed' can't make algorithm dense on metal in float32; those that can: none"
               LAYER full ALGORITHM dense SCHEDULE packed DEVICE metal)
expect_refusal("schedule 'naive' can't make algorithm dense on cpu in bfloat16; those that can: packed"
               LAYER full ALGORITHM dense SCHEDULE naive DEVICE cpu STORAGE bfloat16)
expect_refusal("schedule 'packed' can't make algorithm dense on in float32; those that can: none"
               LAYER full ALGORITHM dense SCHEDULE packed)
expect_refusal("ALGORITHM is 'banded', must be dense or exact for layer full"
               LAYER full ALGORITHM banded SCHEDULE packed DEVICE cpu)
expect_refusal("ALGORITHM is 'exact', must be softmax for layer simple"
               LAYER simple ALGORITHM exact SCHEDULE packed DEVICE cpu)
expect_refusal("LAYER is 'ful', must be one of full, local, simple" LAYER ful ALGORITHM dense SCHEDULE packed DEVICE cpu)
expect_refusal("OPERATION is 'backward', must be one of forward, linear,"
               OPERATION backward LAYER full ALGORITHM dense SCHEDULE packed DEVICE cpu)
expect_refusal("ESTIMATES are '1;2', must be batch, seq, hidden, projected and window of an autoscheduled kernel"
               LAYER full ALGORITHM dense SCHEDULE li2018 DEVICE cpu ESTIMATES 1 2)
expect_refusal("ESTIMATES are '1;2;3;4;5', must be"
               LAYER full ALGORITHM dense SCHEDULE packed DEVICE cpu ESTIMATES 1 2 3 4 5)
expect_refusal("PREFERRED has 'batch=1:2', must be seq, hidden, projected or window, and =<from>:<to>"
               LAYER full ALGORITHM dense SCHEDULE packed DEVICE cpu PREFERRED batch=1:2)
expect_refusal("PARAMS has 'storage=bfloat16', which another column says"
               LAYER full ALGORITHM dense SCHEDULE packed DEVICE cpu PARAMS storage=bfloat16)
expect_refusal("No layer has an algorithm that the schedule can make on cpu: usual | pakced" text)
expect_refusal("unknown columns SHEDULE" SHEDULE packed LAYER full ALGORITHM dense SCHEDULE packed DEVICE cpu)
expect_refusal("Two kernels have the id aft_full_cpu_naive" LAYER full ALGORITHM dense SCHEDULE naive DEVICE cpu)
