# THE ALGORITHMS: how each layer is evaluated. The first algorithm of a layer is its usual one.
#
#   bias        the position bias of the layer: none, dense, or banded, which has a window
#   algorithm   a mean of the values: generators/algorithms/means/
#   schedules   the hand schedules that it has, packed and tiled; `flat` stands for those that schedule the flat form of
#               any algorithm: naive, the autoschedulers, a program's own
#   storage     in what its kernels can keep weights, exponentials of the bias and sources
#   any bias    whether it is accurate for position biases of any range
set(aft_algorithms [[
#   layer  | bias   | algorithm | schedules         | storage          | any bias
    full   | dense  | dense     | flat packed tiled | float32 bfloat16 | no
    local  | banded | banded    | flat packed tiled | float32 bfloat16 | no
    simple | none   | softmax   | flat packed tiled | float32 bfloat16 | yes
    full   | dense  | exact     | packed tiled      | float32          | yes
    local  | banded | exact     | packed tiled      | float32          | yes
]])
include(${CMAKE_CURRENT_LIST_DIR}/table/algorithms.cmake)
aft_set_algorithms("${aft_algorithms}")
