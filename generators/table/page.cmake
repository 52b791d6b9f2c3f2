# Writes docs/kernels.md, the list of the library's kernels, from the table. Needs no Halide and no device.
#
# usage: cmake [-D CHECK=ON] -P page.cmake; with CHECK, it only fails if the page isn't what the table says.
cmake_minimum_required(VERSION 3.28)
include(${CMAKE_CURRENT_LIST_DIR}/rows.cmake)

aft_begin_kernels(aft DEVICES cpu cuda opencl vulkan SCHEDULES all TARGETS host)
include(${CMAKE_CURRENT_LIST_DIR}/../kernels.cmake)

# Puts the extents that the kernel `id` is for into `out`.
function(aft_extents_of out id)
    aft_get_row(${id})
    set(letters B T H P s)
    set(extents batch seq hidden projected window)
    aft_extents(of_kernel ${ROW_OPERATION} ${ROW_LAYER})
    set(text)
    foreach(letter extent estimate IN ZIP_LISTS letters extents ROW_ESTIMATES)
        if(NOT extent IN_LIST of_kernel)
            continue()
        elseif(ROW_ESTIMATES)
            list(APPEND text "${letter} >= ${estimate}")
        elseif("${ROW_PREFERRED}" MATCHES "(^|;)${extent}=([0-9]+):([0-9]+)")
            list(APPEND text "${letter} ${CMAKE_MATCH_2} to ${CMAKE_MATCH_3}")
        endif()
    endforeach()
    list(JOIN text ", " text)
    if(NOT text)
        set(text any)
    endif()
    set(${out} "${text}" PARENT_SCOPE)
endfunction()

set(page [[
# Kernels

The kernels of the library, from its table, [generators/kernels.cmake](../generators/kernels.cmake). `make kernels-page`
writes this page, and a test compares it with the table and with the kernels of the build. A build has those of its
devices (`AFT_DEVICES`) and its names (`AFT_SCHEDULES`), besides `tuned` ones from wisdom ([tuning](tuning.md)). With
several targets, an id ends in the name of its target ([targets](targets.md)).

Within an operation, a layer and a device, kernels stand in order of preference. A layer runs on the first kernel that
this machine can run, that is for the call's extents, and that takes the layer's position bias. Kernels in bfloat16 and
int8 run only by name, or where a layer asks for their storage.

- **Operation**: `forward` is a whole layer. `linear` is a projection, `core` the weighted mean of all sources, `scan`
  the running mean of a causal form with its state. Other forms than those of `forward` run on these three.
- **Extents**: the shapes that a kernel is for. One made by an autoscheduler can't run at smaller ones. B is the batch, T
  the targets, H the channels outside, P those inside of the layer, s the window. A projection has T rows, H inputs and
  P outputs.
- **Any bias**: whether the kernel is accurate for position biases of any range. The others need rows whose range is at
  most 41 ([algorithms](algorithms.md)).

`aft kernels` lists the kernels of a build, and whether they run on the machine. [schedules](schedules.md) explains the
schedules.

| id | operation | layer | algorithm | schedule | storage | device | extents | any bias |
|---|---|---|---|---|---|---|---|---|
]])
aft_get(ids aft KERNELS)
foreach(id ${ids})
    aft_get_row(${id})
    aft_extents_of(extents ${id})
    aft_takes_any_bias(takes_any ${ROW_OPERATION} ${ROW_ALGORITHM})
    set(any_bias no)
    if(takes_any)
        set(any_bias yes)
    endif()
    string(JOIN " | " row "`${id}`" ${ROW_OPERATION} ${ROW_LAYER} ${ROW_ALGORITHM} ${ROW_SCHEDULE} ${ROW_STORAGE} ${ROW_DEVICE}
           "${extents}" ${any_bias})
    string(APPEND page "| ${row} |\n")
endforeach()

cmake_path(SET file NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../../docs/kernels.md)
if(CHECK)
    set(written)
    if(EXISTS ${file})
        file(READ ${file} written)
    endif()
    if(NOT written STREQUAL page)
        message(FATAL_ERROR "${file} isn't what the table of kernels says; `make kernels-page` writes it anew")
    endif()
else()
    file(WRITE ${file} "${page}")
endif()
