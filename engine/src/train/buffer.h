// Numbers in the memory of a table of operators.
#pragma once
#include <utility>

#include "ops.h"

namespace plm::train {

template <class T>
class Buffer {
  public:
    explicit Buffer(const Ops<T>& ops, size_t n = 0) : memory_(ops.memory) { zero(n); }
    Buffer(Buffer&& other) noexcept : memory_(other.memory_) { swap(other); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (data_) memory_->release(data_);
    }

    // Room for n numbers; what was there is lost where there was less.
    void resize(size_t n) {
        if (n > room_) {
            if (data_) memory_->release(data_);
            data_ = nullptr, room_ = 0;
            size_t room = n + n / 8;  // the bytes of a window of text vary
            data_ = static_cast<T*>(memory_->allocate(room * sizeof(T)));
            room_ = room;
        }
        size_ = n;
    }
    void zero(size_t n) {
        resize(n);
        memory_->zero(data_, n * sizeof(T));
    }
    void copy(const T* from, size_t n) {
        resize(n);
        memory_->copy_rows(data_, 0, from, 0, n * sizeof(T), 1);
    }
    void write(const T* host, size_t n) {
        resize(n);
        memory_->write(data_, host, n * sizeof(T));
    }
    void read(T* host) const { memory_->read(host, data_, size_ * sizeof(T)); }
    void swap(Buffer& other) noexcept {
        std::swap(memory_, other.memory_), std::swap(data_, other.data_);
        std::swap(size_, other.size_), std::swap(room_, other.room_);
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return size_; }
    const Memory& memory() const { return *memory_; }

  private:
    const Memory* memory_;
    T* data_ = nullptr;
    size_t size_ = 0, room_ = 0;
};

}  // namespace plm::train
