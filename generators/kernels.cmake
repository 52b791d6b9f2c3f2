# THE TABLE: the kernels of the library. docs/kernels.md lists them one by one, with their ids.
#
# A line stands for a kernel of each layer that has one of the algorithms of algorithms.cmake: `usual` is dense for
# AFTFull, banded for AFTLocal and softmax for AFTSimple; exact, which AFTFull and AFTLocal have, takes position biases of
# any range. On the CPU there is a kernel for each of AFT_TARGETS. Each kernel is a static library, a row of the registry,
# a test and a benchmark. Layers without a kernel of forward run on those of linear, core and scan.
#
# The lines of a device stand in order of preference: a layer runs on the first kernel that this machine can run and
# that is for the call's shape. Those in bfloat16 are for layers that ask for it. With several targets, all kernels of
# the first one come first.
#
# Extents are those that a kernel is preferred for, by hand, or batch, seq, hidden, projected and window that it is made
# for, by an autoscheduler; a kernel of linear has seq rows, hidden inputs and projected outputs. table/rows.cmake
# explains all columns; table/schedules.cmake says which schedule can make which kernels, and has the parameters of the
# autoschedulers.

# bf16 halves the memory, and nearly the time where the CPU multiplies bfloat16; such a kernel runs only where a caller
# asks for it. int8 quarters the memory of the weights, and is for short sequences, where reading them is the time.
# naive takes one row at a time: it is the floor of the comparison.
aft_kernel_rows(aft OPERATION forward DEVICE cpu ROWS [[
#   algorithms | schedule      | storage  | variant     | extents            | parameters
    usual      | packed        | int8     | int8_single | seq=1:2            | tile_rows=1 short_sequences=true
    usual      | packed        | int8     | int8_short  | seq=1:16           | tile_rows=4 short_sequences=true
    usual      | packed        | int8     | int8        |                    |
    usual      | packed        | bfloat16 | bf16_single | seq=1:2            | tile_rows=2 short_sequences=true
    usual      | packed        | bfloat16 | bf16_short  | seq=1:16           | tile_rows=4 short_sequences=true
    usual      | packed        | float32  | single      | seq=1:2            | tile_rows=2 short_sequences=true
    usual      | packed        | float32  | short       | seq=1:16           | tile_rows=4 short_sequences=true
    usual      | packed        | bfloat16 | bf16        |                    |
    usual      | packed        | float32  |             |                    |
    exact      | packed        | float32  |             |                    |
    usual      | mullapudi2016 | float32  | t1024       | 2 1024 256 256 32  |
    usual      | mullapudi2016 | float32  | t192        | 2  192 192 192 32  |
    usual      | mullapudi2016 | float32  | t64         | 1   64  64  64 16  |
    usual      | adams2019     | float32  | t1024       | 2 1024 256 256 32  |
    usual      | adams2019     | float32  | t192        | 2  192 192 192 32  |
    usual      | adams2019     | float32  | t64         | 1   64  64  64 16  | autoscheduler.beam_size=2
    usual      | li2018        | float32  | t1024       | 2 1024 256 256 32  |
    usual      | li2018        | float32  | t192        | 2  192 192 192 32  |
    usual      | naive         | float32  |             |                    | tile_rows=1
]])

aft_kernel_rows(aft OPERATION linear DEVICE cpu ROWS [[
#   algorithms | schedule      | storage  | variant     | extents            | parameters
    usual      | packed        | int8     | int8_single | seq=1:2            | tile_rows=1 short_sequences=true
    usual      | packed        | int8     | int8_short  | seq=1:16           | tile_rows=4 short_sequences=true
    usual      | packed        | int8     | int8        |                    |
    usual      | packed        | bfloat16 | bf16_single | seq=1:2            | tile_rows=2 short_sequences=true
    usual      | packed        | bfloat16 | bf16_short  | seq=1:16           | tile_rows=4 short_sequences=true
    usual      | packed        | float32  | single      | seq=1:2            | tile_rows=2 short_sequences=true
    usual      | packed        | float32  | short       | seq=1:16           | tile_rows=4 short_sequences=true
    usual      | packed        | bfloat16 | bf16        |                    |
    usual      | packed        | float32  |             |                    |
    usual      | mullapudi2016 | float32  | t192        | 2  192 192 192 32  |
    usual      | adams2019     | float32  | t192        | 2  192 192 192 32  |
    usual      | li2018        | float32  | t192        | 2  192 192 192 32  |
    usual      | naive         | float32  |             |                    | tile_rows=1
]])

aft_kernel_rows(aft OPERATION core DEVICE cpu ROWS [[
#   algorithms               | schedule      | storage  | variant    | extents            | parameters
    certified                | packed        | float32  | single     | seq=1:2            | tile_rows=2 short_sequences=true
    certified                | packed        | float32  | short      | seq=1:16           | tile_rows=4 short_sequences=true
    certified certified_band | packed        | bfloat16 | bf16       |                    |
    usual                    | packed        | float32  |            |                    |
    usual joint              | mullapudi2016 | float32  | t192       | 2  192 192 192 32  |
    usual joint              | adams2019     | float32  | t192       | 2  192 192 192 32  |
    usual joint              | li2018        | float32  | t192       | 2  192 192 192 32  |
    usual joint              | naive         | float32  |            |                    |
]])

# Projections by weights that change from call to call, and the gradients of the weights.
aft_kernel_rows(aft OPERATION linear_training DEVICE cpu ROWS [[
#   algorithms  | schedule      | storage  | variant    | extents            | parameters
    usual       | packed        | bfloat16 | bf16       |                    |
    usual       | packed        | float32  |            |                    |
    usual       | mullapudi2016 | float32  | t192       | 2  192 192 192 32  |
    usual       | adams2019     | float32  | t192       | 2  192 192 192 32  |
    usual       | li2018        | float32  | t192       | 2  192 192 192 32  |
    usual       | naive         | float32  |            |                    | tile_rows=1
]])
aft_kernel_rows(aft OPERATION linear_gradients DEVICE cpu ROWS [[
#   algorithms  | schedule      | storage  | variant    | extents            | parameters
    usual       | packed        | bfloat16 | bf16       |                    |
    usual       | packed        | float32  |            |                    |
    usual       | mullapudi2016 | float32  | t192       | 2  192 192 192 32  |
    usual       | adams2019     | float32  | t192       | 2  192 192 192 32  |
    usual       | li2018        | float32  | t192       | 2  192 192 192 32  |
    usual       | naive         | float32  |            |                    | tile_rows=1
]])

# The mean that saves what its gradients need, and the gradients. mullapudi2016 comes to no end with a Tuple of five.
aft_kernel_rows(aft OPERATION core_training DEVICE cpu ROWS [[
#   algorithms               | schedule      | storage  | variant    | extents            | parameters
    certified                | packed        | float32  | single     | seq=1:2            | tile_rows=2 short_sequences=true
    certified                | packed        | float32  | short      | seq=1:16           | tile_rows=4 short_sequences=true
    certified certified_band | packed        | bfloat16 | bf16       |                    |
    usual                    | packed        | float32  |            |                    |
    joint                    | adams2019     | float32  | t192       | 2  192 192 192 32  |
    joint                    | li2018        | float32  | t192       | 2  192 192 192 32  |
    joint                    | naive         | float32  |            |                    |
]])
aft_kernel_rows(aft OPERATION core_gradients DEVICE cpu ROWS [[
#   algorithms               | schedule      | storage  | variant    | extents            | parameters
    certified certified_band | packed        | bfloat16 | bf16       |                    |
    usual                    | packed        | float32  |            |                    |
    usual joint              | mullapudi2016 | float32  | t192       | 2  192 192 192 32  |
    usual joint              | adams2019     | float32  | t192       | 2  192 192 192 32  |
    usual joint              | li2018        | float32  | t192       | 2  192 192 192 32  |
    usual joint              | naive         | float32  |            |                    |
]])

aft_kernel_rows(aft OPERATION bias_gradients DEVICE cpu ROWS [[
#   algorithms               | schedule      | storage  | variant    | extents            | parameters
    certified certified_band | packed        | bfloat16 | bf16       |                    |
    usual                    | packed        | float32  |            |                    |
    joint                    | mullapudi2016 | float32  | t192       | 2  192 192 192 32  |
    joint                    | adams2019     | float32  | t192       | 2  192 192 192 32  |
    joint                    | li2018        | float32  | t192       | 2  192 192 192 32  |
    joint                    | naive         | float32  |            |                    |
]])

# Sources that are kept for many calls of a few targets; calls of more take the keys and values.
aft_kernel_rows(aft OPERATION sources DEVICE cpu ROWS [[
#   algorithms  | schedule      | storage  | variant    | extents            | parameters
    usual       | packed        | float32  |            |                    |
]])
aft_kernel_rows(aft OPERATION kept DEVICE cpu ROWS [[
#   algorithms  | schedule      | storage  | variant    | extents            | parameters
    usual       | packed        | float32  | single     | seq=1:2            | tile_rows=1 short_sequences=true
    usual       | packed        | float32  |            |                    | tile_rows=4 short_sequences=true
]])

aft_kernel_rows(aft OPERATION scan DEVICE cpu ROWS [[
#   algorithms                        | schedule      | storage  | variant    | extents            | parameters
    usual                             | packed        | float32  |            |                    |
    recurrent banded_past convolution | mullapudi2016 | float32  | t192       | 2  192 192 192 32  |
    recurrent banded_past convolution | adams2019     | float32  | t192       | 2  192 192 192 32  |
    recurrent banded_past convolution | li2018        | float32  | t192       | 2  192 192 192 32  |
    recurrent banded_past convolution | naive         | float32  |            |                    |
]])

# For smaller extents (seq 64 on CPUs, batch 2 on GPUs), li2018 spreads sums over atomic additions, so that the bits
# would differ from call to call.
aft_kernel_rows(aft OPERATION forward DEVICE cuda ROWS [[
#   algorithms | schedule      | storage  | variant    | extents            | parameters
    usual      | tiled         | float32  |            |                    |
    exact      | tiled         | float32  |            |                    |
    usual      | anderson2021  | float32  | t1024      | 16 1024 256 256 32 |
    usual      | anderson2021  | float32  | t192       | 16  192 192 192 32 |
    usual      | li2018        | float32  | t1024      | 16 1024 256 256 32 |
    usual      | li2018        | float32  | t192       | 16  192 192 192 32 |
    usual      | naive         | float32  |            |                    | tile_rows=1
]])

# li2018 has one size, as nobody would run it on OpenCL but to compare.
aft_kernel_rows(aft OPERATION forward DEVICE opencl ROWS [[
#   algorithms | schedule      | storage  | variant    | extents            | parameters
    usual      | tiled         | float32  |            |                    |
    exact      | tiled         | float32  |            |                    |
    usual      | li2018        | float32  | t192       | 16  192 192 192 32 |
    usual      | naive         | float32  |            |                    | tile_rows=1
]])

aft_kernel_rows(aft OPERATION forward DEVICE vulkan ROWS [[
#   algorithms | schedule      | storage  | variant    | extents            | parameters
    usual      | tiled         | float32  |            |                    |
    exact      | tiled         | float32  |            |                    |
    usual      | naive         | float32  |            |                    | tile_rows=1
]])

aft_kernel_rows(aft OPERATION linear DEVICE cuda opencl vulkan ROWS [[
#   algorithms | schedule      | storage  | variant    | extents            | parameters
    usual      | tiled         | float32  |            |                    |
    usual      | naive         | float32  |            |                    | tile_rows=1
]])

aft_kernel_rows(aft OPERATION core DEVICE cuda opencl vulkan ROWS [[
#   algorithms  | schedule      | storage  | variant    | extents            | parameters
    usual joint | tiled         | float32  |            |                    |
    usual joint | naive         | float32  |            |                    |
]])

aft_kernel_rows(aft OPERATION scan DEVICE cuda opencl vulkan ROWS [[
#   algorithms                        | schedule      | storage  | variant    | extents            | parameters
    recurrent banded_past convolution | naive         | float32  |            |                    |
]])

aft_left_out(aft [[
#   operations                                  | algorithms | schedules     | devices            | reason
    core_training core_gradients bias_gradients | *          | *             | cuda opencl vulkan | training runs on the CPU
    linear_training linear_gradients            | *          | *             | cuda opencl vulkan | training runs on the CPU
    core_training                               | joint      | mullapudi2016 | cpu                | mullapudi2016 comes to no end with a Tuple of five
]])
