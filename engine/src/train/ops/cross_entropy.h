// Softmax with cross-entropy, in nats: loss[m] = log(sum_v exp(logits[m][v])) - logits[m][targets[m]].

// losses (M), logits (M, V), targets (M)
template <class T>
static void cross_entropy_forward(T* losses, const T* logits, const unsigned char* targets, int M, int V) {
    for (int m = 0; m < M; ++m) {
        const T* z = logits + static_cast<size_t>(m) * V;
        T top = z[0], sum = 0;
        for (int v = 1; v < V; ++v) top = z[v] > top ? z[v] : top;
        for (int v = 0; v < V; ++v) sum += exp_of(z[v] - top);
        losses[m] = log_of(sum) + top - z[targets[m]];
    }
}

// dlogits = (softmax(logits) - onehot(target)) * scale; may overwrite the logits in place.
template <class T>
static void cross_entropy_backward(T* dlogits, const T* logits, const unsigned char* targets, T scale, int M,
                                   int V) {
    for (int m = 0; m < M; ++m) {
        const T* z = logits + static_cast<size_t>(m) * V;
        T* d = dlogits + static_cast<size_t>(m) * V;
        T top = z[0], sum = 0;
        for (int v = 1; v < V; ++v) top = z[v] > top ? z[v] : top;
        for (int v = 0; v < V; ++v) {
            T e = exp_of(z[v] - top);
            d[v] = e;
            sum += e;
        }
        T by = scale / sum;
        for (int v = 0; v < V; ++v) d[v] *= by;
        d[targets[m]] -= scale;
    }
}
