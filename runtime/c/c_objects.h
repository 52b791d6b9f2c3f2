#pragma once

#include <aft/aft.h>
#include <aft/aft_c.h>

// What the pointers of C point to.

struct aft_weights {
    aft::Weights values;
};

struct aft_state {
    aft::State state;
};

struct aft_layer {
    aft::Layer layer;
};

struct aft_sources {
    aft::Sources sources;
};

struct aft_core {
    aft::Core core;
};
