#pragma once

#include <aft/aft.h>
#include <aft/aft_c.h>
#include <aft/training_c.h>

// The objects behind the pointers of C.

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

struct aft_core_training {
    aft::CoreTraining training;
};

struct aft_layer_training {
    aft::LayerTraining training;
};
