// Scalar functions that every operator shares, written so that the compiler turns loops over them into vector
// code. Included only by ops.inl, inside the namespace of one instruction set: nothing here may reach another
// one's objects.

// exp for float: 2^i * 2^f with a degree-6 polynomial, relative error below 5e-6 for |x| <= 87; clamped
// outside. No library call, because a call would stop the surrounding loop from becoming vector code.
static inline float exp_of(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float z = x * 1.44269504088896341f;
#if defined(__SSE4_1__)  // one instruction; elsewhere it would be a call
    float n = __builtin_rintf(z);
    int i = static_cast<int>(n);
#else
    int i = static_cast<int>(z + (z < 0.0f ? -0.5f : 0.5f));
    float n = static_cast<float>(i);
#endif
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int bits = (i + 127) << 23;
    float scale;
    __builtin_memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline double exp_of(double x) {
    return __builtin_exp(x);
}
static inline float log_of(float x) {
    return __builtin_logf(x);
}
static inline double log_of(double x) {
    return __builtin_log(x);
}
static inline float sqrt_of(float x) {
    return __builtin_sqrtf(x);
}
static inline double sqrt_of(double x) {
    return __builtin_sqrt(x);
}

template <class T>
static inline T sigmoid(T x) {
    return T(1) / (T(1) + exp_of(-x));
}
