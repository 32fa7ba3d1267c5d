// The character-synchronous model on a device, as a Network (infer/network.h). States stay on the device, and
// all bytes of a character are sampled there. The results are those of character_model.h on the CPU, bit for
// bit, so a snapshot continues on either.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "../infer/network.h"
#include "infer_weights.h"

namespace plm::infer {

class CudaNetwork : public Network {
  public:
    // plm_cuda::Error where memory runs out or the model is too wide for the device; else as DeviceWeights.
    CudaNetwork(const Config& config, const std::function<TensorView(const std::string&)>& tensor);
    ~CudaNetwork() override;

    std::unique_ptr<State> begin() override;
    void read(State& state, const uint8_t* bytes, size_t size, double* bits) override;
    void predict(float* logits, State* const states[], size_t M) override;
    void advance(State* const states[], const uint8_t bytes[], size_t M) override;
    void sample(SampleRequest requests[], size_t M) override;
    const char* isa() const override { return "cuda"; }
    const VectorOps& vector_ops() const override;
    Encoding encoding() const override { return Encoding::kUtf8; }
    bool has_marks() const override { return true; }

  private:
    class CudaState;
    struct Rows;  // patches on their way through the trunk

    int take_slot();
    char* memory(int slot) { return states_ + size_t(slot) * layout_.size; }
    void step(const Rows& rows, float* bases);
    void restore_base(int slot);
    void score(double* bits, const float* bases, const std::vector<HeadRow>& before, const uint8_t* bytes);

    std::mutex mutex_;  // one call at a time: they share the stream
    plm_cuda::Stream stream_;
    const DeviceWeights weights_;
    const StateLayout layout_;
    char* states_ = nullptr;
    int slots_ = 0;
    std::vector<int> idle_;
    std::unique_ptr<State> start_;  // an end mark has been read
};

}  // namespace plm::infer
