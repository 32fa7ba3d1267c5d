// A matrix that Muon updates: weight, momentum m and gradient (rows, columns).
#pragma once

struct MuonMatrix {
    float *weight, *m;
    const float* grad;
    int rows, columns;
    float decay;
};
