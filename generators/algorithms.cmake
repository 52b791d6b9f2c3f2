# THE ALGORITHMS: how each operation on each layer is evaluated. The first algorithm of an operation on a layer is its
# usual one.

#   prepared by   the generator that prepares its parameters, aft_<prepared by>; none where it has no such parameters
#   weights       the prepared parameters that pack_weight() makes: their layout depends on no rows of a tile
#   extents       those that its kernels depend on
set(aft_operations [[
#   operation | prepared by    | weights     | extents
    forward   | prepare | wq wk wv wo wq_largest wk_largest wv_largest wo_largest | batch seq hidden projected window
    linear    | prepare_linear | w w_largest | batch seq hidden projected
    linear_training  | none    | none        | batch seq hidden projected
    linear_gradients | none    | none        | batch seq hidden projected
    core      | none           | none        | batch seq projected window
    core_training  | none      | none        | batch seq projected window
    core_gradients | none      | none        | batch seq projected window
    bias_gradients | none      | none        | batch seq projected window
    sources   | none           | none        | batch seq projected
    kept      | none           | none        | batch seq projected
    scan      | none           | none        | batch seq projected window
]])

#   layer       the form of the layer; none for an operation that serves all forms
#   bias        its position bias, as PositionBias of include/aft/config.h has it
#   algorithm   a mean of the values, generators/algorithms/means/, or another file of generators/algorithms/
#   schedules   the hand schedules that it has, packed and tiled; `flat` stands for those that schedule the flat form of
#               any algorithm: naive, the autoschedulers, a program's own
#   storage     in what its kernels can keep weights, exponentials of the bias and sources
#   any bias    whether it is accurate for position biases of any range
set(aft_algorithms [[
#   operation | layer        | bias        | algorithm             | schedules         | storage          | any bias
    forward   | full         | dense       | dense                 | flat packed tiled | float32 bfloat16 int8 | no
    forward   | local        | banded      | banded                | flat packed tiled | float32 bfloat16 int8 | no
    forward   | simple       | none        | softmax               | flat packed tiled | float32 bfloat16 int8 | yes
    forward   | full         | dense       | exact                 | packed tiled      | float32          | yes
    forward   | local        | banded      | exact                 | packed tiled      | float32          | yes
    linear    | none         | none        | product               | flat packed tiled | float32 bfloat16 int8 | yes
    linear_training  | none  | none        | product               | flat packed       | float32 bfloat16 | yes
    linear_gradients | none  | none        | product               | flat packed       | float32 bfloat16 | yes
    core      | given        | given       | certified             | packed            | float32 bfloat16 | yes
    core      | given        | given       | joint                 | flat tiled        | float32          | yes
    core      | local        | banded      | certified_band        | packed            | float32 bfloat16 | yes
    core      | local        | banded      | joint                 | flat tiled        | float32          | yes
    core      | simple       | none        | softmax               | flat packed tiled | float32          | yes
    core_training  | given   | given       | certified             | packed            | float32 bfloat16 | yes
    core_training  | given   | given       | joint                 | flat              | float32          | yes
    core_training  | local   | banded      | certified_band        | packed            | float32 bfloat16 | yes
    core_training  | local   | banded      | joint                 | flat              | float32          | yes
    core_gradients | given   | given       | certified             | packed            | float32 bfloat16 | yes
    core_gradients | given   | given       | joint                 | flat              | float32          | yes
    core_gradients | local   | banded      | certified_band        | packed            | float32 bfloat16 | yes
    core_gradients | local   | banded      | joint                 | flat              | float32          | yes
    core_gradients | simple  | none        | softmax               | flat packed       | float32          | yes
    bias_gradients | given   | given       | certified             | packed            | float32 bfloat16 | yes
    bias_gradients | given   | given       | joint                 | flat              | float32          | yes
    bias_gradients | local   | banded      | certified_band        | packed            | float32 bfloat16 | yes
    bias_gradients | local   | banded      | joint                 | flat              | float32          | yes
    sources   | given        | given       | exponential           | packed            | float32          | yes
    kept      | given        | given       | certified             | packed            | float32          | yes
    scan      | wkv          | decay       | certified_recurrent   | packed            | float32          | yes
    scan      | wkv          | decay       | recurrent             | flat              | float32          | yes
    scan      | causal_local | banded      | certified_past        | packed            | float32          | yes
    scan      | causal_local | banded      | banded_past           | flat              | float32          | yes
    scan      | conv         | convolution | certified_convolution | packed            | float32          | yes
    scan      | conv         | convolution | convolution           | flat              | float32          | yes
]])
include(${CMAKE_CURRENT_LIST_DIR}/table/algorithms.cmake)
aft_set_algorithms("${aft_operations}" "${aft_algorithms}")
