// A model's tensors on a device, as the kernels of inference take them.
#pragma once
#include <functional>
#include <string>

#include "../infer/weights.h"
#include "cuda/device.h"
#include "cuda/infer_model.h"

namespace plm::infer {

class DeviceWeights {
  public:
    // `tensor` as for Weights; all lies in the stream's memory and goes with it. std::invalid_argument for a
    // tensor of another size than the config says.
    DeviceWeights(plm_cuda::Stream& stream, const Config& config,
                  const std::function<TensorView(const std::string&)>& tensor);

    Config config;
    InferModel model{};
};

}  // namespace plm::infer
