// Whole arrays.

template <class T>
static void add(T* out, const T* inp, size_t n) {
    for (size_t i = 0; i < n; ++i) out[i] += inp[i];
}

// In double: millions of squares in float would lose digits.
template <class T>
static double sum_of_squares(const T* inp, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += static_cast<double>(inp[i]) * static_cast<double>(inp[i]);
    return sum;
}
