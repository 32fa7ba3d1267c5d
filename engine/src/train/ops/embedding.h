// Rows of a table, picked by number: out[m] = table[ids[m]], or added to what is there.

// out (M, D), table (rows, D), ids (M)
template <class T>
static void embedding_forward(T* out, const T* table, const int* ids, int M, int D, bool accumulate) {
    for (int m = 0; m < M; ++m) {
        const T* row = table + static_cast<size_t>(ids[m]) * D;
        T* o = out + static_cast<size_t>(m) * D;
        if (accumulate) {
            for (int d = 0; d < D; ++d) o[d] += row[d];
        } else {
            for (int d = 0; d < D; ++d) o[d] = row[d];
        }
    }
}

// dtable[ids[m]] += dout[m]
template <class T>
static void embedding_backward(T* dtable, const T* dout, const int* ids, int M, int D) {
    for (int m = 0; m < M; ++m) {
        T* row = dtable + static_cast<size_t>(ids[m]) * D;
        const T* o = dout + static_cast<size_t>(m) * D;
        for (int d = 0; d < D; ++d) row[d] += o[d];
    }
}
