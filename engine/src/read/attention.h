// Attention of the rows of passages over the rows of their questions:
//   p[j] = softmax_j(scale * query . key[j]);  out = sum_j p[j] value[j]
// Rows past the end of a passage get zeros.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "text.h"

namespace plm::read {

template <class T>
T dot(const T* a, const T* b, int n) {
    T sum = 0;
    for (int i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

template <class T>
void add_scaled(T* out, T factor, const T* x, int n) {
    for (int i = 0; i < n; ++i) out[i] += factor * x[i];
}

// In place: the softmax of n numbers.
template <class T>
void softmax(T* x, int n) {
    T top = *std::max_element(x, x + n), sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
    for (int i = 0; i < n; ++i) x[i] /= sum;
}

template <class T>
struct QuestionAttention {
    int K, V;  // widths of keys and values
    T scale;
    std::vector<T> shares;  // (passages * length, longest question), kept for backward

    size_t longest_question(const Batch& batch) const {
        return static_cast<size_t>(
            *std::max_element(batch.sizes.begin(), batch.sizes.begin() + batch.questions));
    }

    // out (passages, length, V); query (passages, length, K); key, value (questions, length, K or V). The
    // rows of value and out lie value_stride and out_stride apart.
    void forward(T* out, int out_stride, const T* query, const T* key, const T* value, int value_stride,
                 const Batch& batch) {
        const size_t J = longest_question(batch), L = static_cast<size_t>(batch.length);
        shares.assign(static_cast<size_t>(batch.passages()) * L * J, T(0));
        each_row(
            batch,
            [&](size_t row, size_t question, int asked) {
                T *p = shares.data() + row * J, *y = out + row * static_cast<size_t>(out_stride);
                for (int j = 0; j < asked; ++j)
                    p[j] = scale * dot(query + row * K, key + (question * L + static_cast<size_t>(j)) * K, K);
                softmax(p, asked);
                std::fill(y, y + V, T(0));
                for (int j = 0; j < asked; ++j)
                    add_scaled(y, p[j], value + (question * L + static_cast<size_t>(j)) * value_stride, V);
            },
            [&](size_t row) { std::fill_n(out + row * static_cast<size_t>(out_stride), V, T(0)); });
    }

    // dquery is set; dkey and dvalue are added to.
    void backward(T* dquery, T* dkey, T* dvalue, const T* dout, int out_stride, const T* query, const T* key,
                  const T* value, int value_stride, const Batch& batch) {
        const size_t J = longest_question(batch), L = static_cast<size_t>(batch.length);
        std::vector<T> dp(J);
        each_row(
            batch,
            [&](size_t row, size_t question, int asked) {
                const T *p = shares.data() + row * J, *dy = dout + row * static_cast<size_t>(out_stride);
                T *dq = dquery + row * K, sum = 0;
                for (int j = 0; j < asked; ++j) {
                    const size_t at = question * L + static_cast<size_t>(j);
                    dp[static_cast<size_t>(j)] = dot(dy, value + at * value_stride, V);
                    add_scaled(dvalue + at * V, p[j], dy, V);
                    sum += p[j] * dp[static_cast<size_t>(j)];
                }
                std::fill(dq, dq + K, T(0));
                for (int j = 0; j < asked; ++j) {
                    const size_t at = question * L + static_cast<size_t>(j);
                    const T d = scale * p[j] * (dp[static_cast<size_t>(j)] - sum);
                    add_scaled(dq, d, key + at * K, K);
                    add_scaled(dkey + at * K, d, query + row * K, K);
                }
            },
            [&](size_t row) { std::fill_n(dquery + row * static_cast<size_t>(K), K, T(0)); });
    }

  private:
    template <class Row, class Padding>
    static void each_row(const Batch& batch, Row&& row, Padding&& padding) {
        const size_t L = static_cast<size_t>(batch.length);
        for (size_t p = 0; p < static_cast<size_t>(batch.passages()); ++p) {
            const size_t question = static_cast<size_t>(batch.owner[p]);
            const size_t size = static_cast<size_t>(batch.sizes[static_cast<size_t>(batch.questions) + p]);
            for (size_t t = 0; t < size; ++t) row(p * L + t, question, batch.sizes[question]);
            for (size_t t = size; t < L; ++t) padding(p * L + t);
        }
    }
};

}  // namespace plm::read
