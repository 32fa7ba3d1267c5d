// AdamW (Loshchilov and Hutter, 2019): decoupled weight decay; m and v are corrected for their start at zero
// by `step`. Single precision throughout; `clip` scales the gradient (global norm clipping is the caller's).

template <class T>
static void adamw_update(T* weight, T* m, T* v, const T* grad, size_t n, T rate, T beta1, T beta2, T epsilon,
                         T decay, T clip, T correction1, T correction2) {
    for (size_t i = 0; i < n; ++i) {
        T g = grad[i] * clip;
        m[i] = beta1 * m[i] + (T(1) - beta1) * g;
        v[i] = beta2 * v[i] + (T(1) - beta2) * g * g;
        T step = (m[i] / correction1) / (sqrt_of(v[i] / correction2) + epsilon);
        weight[i] -= rate * (step + decay * weight[i]);
    }
}
