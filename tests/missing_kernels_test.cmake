# cmake -P: each kernel that a table doesn't have is listed with the reason.
cmake_minimum_required(VERSION 3.28)
include(${CMAKE_CURRENT_LIST_DIR}/../generators/table/rows.cmake)

aft_begin_kernels(some DEVICES cpu SCHEDULES packed naive TARGETS host)
aft_kernel_rows(some OPERATION forward DEVICE cpu ROWS [[
    usual | packed    | float32 | | |
    usual | adams2019 | float32 | | 1 2 3 4 5 |
    exact | packed    | float32 | | |
]])
aft_kernel_rows(some OPERATION forward DEVICE cuda ROWS [[
    usual | tiled | float32 | | |
]])
aft_left_out(some [[
    forward linear | dense | *      | cpu  | it takes too long
    *              | *     | li2018 | cuda | its bits differ from call to call
]])
aft_missing_kernels(missing some)

function(expect_line operation layer algorithm schedule device reason)
    string(FIND "${missing}" "{\"${operation}\", \"${layer}\", \"${algorithm}\", \"${schedule}\", \"${device}\", \
\"${reason}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "${operation} ${layer} ${algorithm} ${schedule} ${device} isn't missing because ${reason}:\n"
                            "${missing}")
    endif()
endfunction()
expect_line(forward full dense adams2019 cpu "the build leaves out the schedule adams2019 (AFT_SCHEDULES)")
expect_line(forward full exact packed cpu "the build leaves out the schedule exact (AFT_SCHEDULES)")
expect_line(forward full dense tiled cuda "the build leaves out the device cuda (AFT_DEVICES)")
expect_line(forward full dense tiled cpu "schedule 'tiled' can't make algorithm dense on cpu in float32, those that can: \
packed")
expect_line(forward full exact naive cpu "schedule 'naive' can't make algorithm exact on cpu")
expect_line(forward full dense mullapudi2016 cpu "it takes too long")
expect_line(forward local banded mullapudi2016 cpu "the table has no row for it")
expect_line(linear none product li2018 cuda "its bits differ from call to call")
expect_line(linear none product li2018 cpu "the table has no row for it")
if(missing MATCHES "\"forward\", \"full\", \"dense\", \"packed\", \"cpu\"")
    message(FATAL_ERROR "A kernel of the table is said to be missing:\n${missing}")
endif()
