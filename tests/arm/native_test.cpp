// What runs on an Arm processor, or under qemu, to compare its instruction sets. A program without Python,
// linked statically; see test_arm.py.
//
//   native_test levels                          the tables of inference and of training that run here
//   native_test rows                            the float work of inference against portable, bit by bit
//   native_test write MODEL ISA SEED BYTES      reads the model's prompt and writes on: bits of the
//                                              prompt, text, state, in hex
//   native_test train                           the operators of training against portable
//   native_test work NAME ISA REPEATS [MODEL]   the work alone, for counting its instructions
//
// MODEL is what test_arm.py's dump writes. Exit status 1 at the first difference, 2 for wrong usage.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/src/infer/character_model.h"
#include "engine/src/infer/generation.h"
#include "engine/src/infer/session.h"
#include "engine/src/train/ops.h"

using namespace plm;
using namespace plm::infer;

namespace {

void check(bool good, const std::string& what) {
    if (good) return;
    std::fprintf(stderr, "native_test: %s\n", what.c_str());
    std::exit(1);
}

std::vector<std::string> kernels_here() {
    std::vector<std::string> names;
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != nullptr; ++k)
        if (cpu_vnni_supported((*k)->name)) names.push_back((*k)->name);
    return names;
}

// --- the model of a dump ---

struct Dump {
    Config config{};
    std::string prompt;
    std::map<std::string, std::pair<std::vector<int8_t>, std::vector<float>>> tensors;

    explicit Dump(const char* path) {
        std::ifstream file(path, std::ios::binary);
        std::string word, name;
        const std::map<std::string, int*> sizes = {
            {"width", &config.width},           {"layers", &config.layers},
            {"state", &config.state},           {"hidden", &config.hidden},
            {"head_width", &config.head_width}, {"head_hidden", &config.head_hidden},
            {"longest", &config.longest},       {"head_layers", &config.head_layers},
            {"bigrams", &config.bigrams},       {"characters", &config.characters},
            {"trigrams", &config.trigrams},     {"pieces", &config.pieces},
            {"embedding", &config.embedding},   {"prefixes", &config.prefixes},
            {"views", &config.views},           {"skip", &config.skip},
            {"heads", &config.heads},           {"head_size", &config.head_size},
            {"window", &config.window}};
        while (file >> word) {
            if (word == "size") {
                file >> name >> *sizes.at(name);
            } else if (word == "patch") {
                file >> name;
                config.patch = name == "character" ? PatchRule::kCharacter
                               : name == "word"    ? PatchRule::kWord
                                                   : PatchRule::kByte;
            } else if (word == "mixers") {
                file >> config.mixers;
            } else if (word == "prompt") {
                size_t count;
                file >> count;
                file.get();
                read(file, prompt, count);
            } else if (word == "tensor") {
                size_t values, floats;
                file >> name >> values >> floats;
                file.get();
                auto& [quantized, numbers] = tensors[name];
                read(file, quantized, values);
                read(file, numbers, floats);
            }
        }
        check(!tensors.empty(), std::string("no model in ") + path);
    }

    std::shared_ptr<Network> network(const std::string& isa) const {
        const auto find = [&](const std::string& name) {
            const auto& [values, floats] = tensors.at(name);
            return TensorView{values.empty() ? nullptr : values.data(), floats.data(), values.size(),
                              floats.size()};
        };
        return std::make_shared<CharacterModel>(Weights(config, find, isa));
    }

  private:
    template <typename T>
    static void read(std::ifstream& file, T& to, size_t count) {
        to.resize(count);
        file.read(reinterpret_cast<char*>(to.data()), std::streamsize(count * sizeof(to[0])));
    }
};

void print_hex(const std::string& bytes) {
    for (const char byte : bytes) std::printf("%02x", uint8_t(byte));
    std::printf("\n");
}

std::string write_on(Session& session, uint64_t seed, int max_bytes) {
    const SamplerOptions options;  // top-e, as a session writes unless it is told otherwise
    Generation generation({std::shared_ptr<Session>(), &session}, Sampler(options, seed), max_bytes, true, {},
                          false);
    BatchDecoder decoder;
    std::string text;
    while (generation.finish_reason() == FinishReason::kNone) decoder.run({&generation});
    Character character;
    for (double bits; generation.take(&character, &bits);)
        text.append(reinterpret_cast<const char*>(character.bytes), character.size);
    generation.close();
    return text;
}

int write(const char* model, const char* isa, uint64_t seed, int max_bytes) {
    const Dump dump(model);
    Session session(dump.network(isa));
    const auto* prompt = reinterpret_cast<const uint8_t*>(dump.prompt.data());
    std::vector<double> bits(dump.prompt.size());
    session.feed(prompt, bits.size(), bits.data());
    print_hex({reinterpret_cast<const char*>(bits.data()), bits.size() * sizeof bits[0]});
    print_hex(write_on(session, seed, max_bytes));
    std::string pending;
    print_hex(session.save(&pending));
    return 0;
}

// --- the float work of inference ---

// Rows of ordinary numbers, of zeros, of tiny and of large ones.
std::vector<float> floats(SplitMix64& random, size_t count, int kind) {
    const float scales[] = {1.0f, 0.0f, 1e-32f, 30.0f, 1e6f};
    std::vector<float> x(count);
    for (float& value : x) value = scales[kind % 5] * float(2 * random.uniform() - 1);
    return x;
}

template <typename T>
std::vector<T> integers(SplitMix64& random, size_t count, int64_t span) {
    std::vector<T> x(count);
    for (T& value : x) value = T(int64_t(random.next() % uint64_t(2 * span + 1)) - span);
    return x;
}

// Everything that an operator wrote, one after the other.
struct Written {
    std::string bytes;
    template <typename T>
    void add(const std::vector<T>& some) {
        bytes.append(reinterpret_cast<const char*>(some.data()), some.size() * sizeof(T));
    }
    void add(double x) { add(std::vector<double>{x}); }
};

std::string rows_of(const VectorOps& ops, int n, int kind) {
    SplitMix64 random{uint64_t(n * 100 + kind)};
    const size_t N = size_t(n);
    Written written;
    std::vector<int8_t> quantized(4 * N);
    std::vector<float> scratch(8 * N + 4096);
    const auto x = floats(random, N, kind), gain = floats(random, N, 0), taps = floats(random, 3 * N, 0);
    const auto lead = integers<int8_t>(random, N, 127), rest = integers<int8_t>(random, N, 127);
    auto out = floats(random, N, kind);
    ops.add_rows(out.data(), nullptr, lead.data(), 0.01f, rest.data(), 0.3f, n), written.add(out);
    ops.add_rows(out.data(), x.data(), lead.data(), 0.01f, rest.data(), 0.3f, n), written.add(out);
    ops.add_row(out.data(), lead.data(), 0.7f, n), written.add(out);
    written.add(ops.quantize_row(quantized.data(), x.data(), n)), written.add(quantized);
    written.add(ops.norm_quantize(quantized.data(), scratch.data(), x.data(), gain.data(), n));
    written.add(quantized);
    std::vector<uint16_t> history(2 * N);
    for (uint16_t& h : history) h = uint16_t(0x3C00 + random.next() % 0x400 + 0x8000 * (random.next() % 2));
    for (int i = 0; i < 3; ++i) {
        written.add(ops.norm_conv_quantize(quantized.data(), scratch.data(), history.data(), x.data(),
                                           gain.data(), taps.data(), n));
        written.add(quantized), written.add(history);
    }
    const auto sums = integers<int32_t>(random, 8 * N, kind % 2 ? 2000 : 2000000);
    const auto weights = floats(random, 8 * N, 0);
    const Sums in{sums.data(), weights.data(), kind == 4 ? 1.0f : 1e-3f};
    auto state = floats(random, N, 0);
    written.add(ops.recurrence_quantize(quantized.data(), scratch.data(), state.data(), &in, gain.data(), n));
    written.add(quantized), written.add(state);
    written.add(ops.swiglu_quantize(quantized.data(), scratch.data(), &in, n)), written.add(quantized);
    ops.residual(out.data(), &in, n), written.add(out);
    ops.dequantize(out.data(), &in, n), written.add(out);
    ops.exp_minus(out.data(), x.data(), n), written.add(out);
    return written.bytes;
}

std::string attention_of(const VectorOps& ops, int heads, int width, int window, int kind) {
    SplitMix64 random{uint64_t(heads * 1000 + width + window + kind)};
    const size_t all = size_t(heads * width), W = size_t(window);
    auto keys = integers<int8_t>(random, W * size_t(width), 127);
    auto values = integers<int8_t>(random, W * size_t(width), 127);
    std::vector<uint16_t> key_scales(W), value_scales(W);
    for (uint16_t& s : key_scales) s = uint16_t(0x3C00 + random.next() % 64);
    for (uint16_t& s : value_scales) s = uint16_t(0x3C00 + random.next() % 64);
    std::vector<float> scratch(2 * (all + size_t(width)) + 4 * W);
    const auto sums = integers<int32_t>(random, all + 2 * size_t(width), 50000);
    const auto weights = floats(random, sums.size(), kind);
    const auto bias = floats(random, size_t(heads) * W, 3);
    std::vector<int8_t> quantized(all);
    Written written;
    Ring ring{keys.data(), values.data(), key_scales.data(), value_scales.data(), window, 0};
    for (ring.position = 0; ring.position < window; ring.position += 7) {
        const Sums in{sums.data(), weights.data(), 1e-4f};
        written.add(
            ops.attention_quantize(quantized.data(), scratch.data(), &ring, &in, bias.data(), heads, width));
        written.add(quantized), written.add(keys), written.add(values);
        written.add(key_scales), written.add(value_scales);
    }
    return written.bytes;
}

std::string sampling_of(const VectorOps& ops, int n, int kind) {
    SplitMix64 random{uint64_t(n + 1000 * kind)};
    const size_t room = size_t(n + 7) / 8 * 8;
    auto logits = floats(random, 256, kind);
    Written written;
    float highest = 0;
    written.add(ops.sum_exp(&highest, logits.data(), 256)), written.add(highest);
    std::vector<double> x(room), weights(room), totals(2);
    written.add(ops.widen_row(x.data(), logits.data(), n)), written.add(x);
    ops.softmax(x.data(), weights.data(), totals.data(), n);
    written.add(x), written.add(weights), written.add(totals);
    ops.exp_row(weights.data(), x.data(), n), written.add(weights);
    std::vector<uint8_t> places(room + 8);
    const int count = ops.indices_above(places.data(), x.data(), x[size_t(n / 2)], n);
    places.resize(size_t(count)), written.add(places);
    logits[7] = INFINITY;
    check(!ops.widen_row(x.data(), logits.data(), n > 7 ? n : 8) &&
              std::isnan(ops.sum_exp(&highest, logits.data(), 256)),
          "an infinite logit is not seen");
    return written.bytes;
}

int rows() {
    for (const std::string& isa : kernels_here()) {
        const VectorOps &ops = *select_vector_ops(select_kernels(isa)), &plain = vector_ops_portable;
        for (int kind = 0; kind < 5; ++kind) {
            for (const int n : {16, 32, 48, 96, 160, 176, 320})
                check(rows_of(ops, n, kind) == rows_of(plain, n, kind), isa + ": a row differs");
            for (const int heads : {1, 4, 5})
                for (const int width : {16, 48})
                    for (const int window : {16, 80})
                        check(attention_of(ops, heads, width, window, kind) ==
                                  attention_of(plain, heads, width, window, kind),
                              isa + ": attention differs");
            for (const int n : {9, 16, 31, 100, 255, 256})
                check(sampling_of(ops, n, kind) == sampling_of(plain, n, kind), isa + ": sampling differs");
        }
        std::printf("%s %s\n", isa.c_str(), ops.name);
    }
    return 0;
}

// --- training ---

using train::Ops;
using Floats = std::vector<float>;

// Largest difference as a share of the largest number.
double distance(const Floats& a, const Floats& b) {
    double most = 0, largest = 1e-30;
    for (size_t i = 0; i < a.size(); ++i) {
        most = std::max(most, std::fabs(double(a[i]) - double(b[i])));
        largest = std::max(largest, std::fabs(double(b[i])));
    }
    return std::isfinite(most) ? most / largest : INFINITY;
}

// The matrix products of one shape, as outputs one after the other.
Floats products_of(const Ops<float>& ops, int M, int N, int K) {
    SplitMix64 random{uint64_t(M * 10000 + N * 100 + K)};
    const auto inp = floats(random, size_t(M) * size_t(K), 0),
               dout = floats(random, size_t(M) * size_t(N), 0);
    const auto weight = floats(random, size_t(N) * size_t(K), 0);
    Floats all;
    const auto keep = [&](const Floats& some) { all.insert(all.end(), some.begin(), some.end()); };
    for (const bool accumulate : {false, true}) {
        Floats out(dout.size(), 0.5f), dinp(inp.size(), 0.5f);
        ops.matmul_forward(out.data(), inp.data(), weight.data(), M, N, K, accumulate), keep(out);
        ops.matmul_backward_input(dinp.data(), dout.data(), weight.data(), M, N, K, accumulate), keep(dinp);
    }
    Floats dweight(weight.size(), 0.5f), rows(size_t(M) * size_t(M)), columns(size_t(K) * size_t(K));
    ops.matmul_backward_weight(dweight.data(), dout.data(), inp.data(), M, N, K), keep(dweight);
    ops.matmul_gram(rows.data(), inp.data(), M, K, false), keep(rows);
    ops.matmul_gram(columns.data(), inp.data(), M, K, true), keep(columns);
    return all;
}

// Norm, convolution, scan, gate and loss, forward and backward.
Floats elementwise_of(const Ops<float>& ops, int B, int length, int D) {
    SplitMix64 random{uint64_t(D)};
    const size_t rows = size_t(B * length), size = rows * size_t(D);
    const int M = int(rows);
    Floats all;
    const auto keep = [&](const Floats& some) { all.insert(all.end(), some.begin(), some.end()); };
    const auto inp = floats(random, size, 0), dout = floats(random, size, 0),
               weight = floats(random, size_t(D), 0);
    Floats out(size), rinv(rows), dinp(size), dweight(weight.size());
    ops.rmsnorm_forward(out.data(), rinv.data(), inp.data(), weight.data(), M, D), keep(out);
    ops.rmsnorm_backward(dinp.data(), dweight.data(), dout.data(), inp.data(), rinv.data(), weight.data(), M,
                         D);
    keep(dinp), keep(dweight);
    const auto history = floats(random, size_t(2 * B * D), 0), taps = floats(random, size_t(3 * D), 0);
    Floats dtaps(taps.size()), dconv(size);
    ops.conv_forward(out.data(), inp.data(), history.data(), taps.data(), B, length, D), keep(out);
    ops.conv_backward(dconv.data(), dtaps.data(), dout.data(), inp.data(), history.data(), taps.data(), B,
                      length, D);
    keep(dconv), keep(dtaps);
    const auto fvo = floats(random, 3 * size, 0), s0 = floats(random, size_t(B * D), 0);
    Floats a(size), s(size), dfvo(3 * size), dbias(weight.size());
    ops.scan_forward(out.data(), a.data(), s.data(), fvo.data(), weight.data(), s0.data(), B, length, D);
    ops.scan_backward(dfvo.data(), dbias.data(), dout.data(), fvo.data(), a.data(), s.data(), s0.data(), B,
                      length, D);
    keep(out), keep(dfvo), keep(dbias);
    const auto up = floats(random, 2 * size, 3);
    Floats dup(2 * size);
    ops.swiglu_forward(out.data(), up.data(), M, D), keep(out);
    ops.swiglu_backward(dup.data(), dout.data(), up.data(), M, D), keep(dup);
    std::vector<unsigned char> targets(rows);
    for (size_t i = 0; i < rows; ++i) targets[i] = uint8_t(i % size_t(D));
    Floats losses(rows), dlogits(size);
    ops.cross_entropy_forward(losses.data(), inp.data(), targets.data(), M, D), keep(losses);
    ops.cross_entropy_backward(dlogits.data(), inp.data(), targets.data(), 0.1f, M, D), keep(dlogits);
    return all;
}

int compare_training() {
    for (const char* const* name = train::supported_ops(); *name != nullptr; ++name) {
        const Ops<float>&ops = train::select_ops(*name), &plain = train::ops_portable;
        const double allowed = std::strstr(*name, "bf16") ? 0.02 : 1e-4;
        for (const int M : {1, 3, 4, 11, 12, 13, 25})
            for (const int N : {1, 7, 8, 9, 31})
                for (const int K : {1, 2, 3, 4, 17}) {
                    const double far = distance(products_of(ops, M, N, K), products_of(plain, M, N, K));
                    check(far < allowed, std::string(*name) + ": products differ by " + std::to_string(far));
                }
        // Deeper and taller than what is packed together.
        for (const int tall : {0, 1}) {
            const int M = tall ? 300 : 12, N = tall ? 5 : 9, K = tall ? 6 : 530;
            check(distance(products_of(ops, M, N, K), products_of(plain, M, N, K)) < allowed,
                  std::string(*name) + ": large products differ");
        }
        for (const int D : {1, 3, 16, 33, 64})
            check(distance(elementwise_of(ops, 2, 5, D), elementwise_of(plain, 2, 5, D)) < 1e-4,
                  std::string(*name) + ": an operator differs");
        std::printf("%s\n", *name);
    }
    return 0;
}

// --- work to count ---

int work(const std::string& name, const std::string& isa, int repeats, const char* model) {
    SplitMix64 random{1};
    int M, N, K;
    if (std::sscanf(name.c_str(), "matmul_i8:%d,%d,%d", &M, &N, &K) == 3) {
        const cpu_vnni_kernels* kernels = select_kernels(isa);
        const auto a = integers<int8_t>(random, size_t(M * K), 127),
                   b = integers<int8_t>(random, size_t(N * K), 127);
        std::vector<int32_t> out(size_t(M) * size_t(N));
        void* packed = std::aligned_alloc(CPU_VNNI_ALIGNMENT, kernels->matmul_i8_packed_size(N, K));
        kernels->matmul_i8_pack(packed, b.data(), N, K);
        for (int i = 0; i < repeats; ++i) kernels->matmul_i8(out.data(), a.data(), packed, M, N, K);
        std::free(packed);
        return 0;
    }
    if (std::sscanf(name.c_str(), "train:%d,%d,%d", &M, &N, &K) == 3) {
        const Ops<float>& ops = train::select_ops(isa.c_str());
        const auto inp = floats(random, size_t(M * K), 0), dout = floats(random, size_t(M * N), 0);
        const auto weight = floats(random, size_t(N * K), 0);
        Floats out(dout.size()), dinp(inp.size()), dweight(weight.size());
        for (int i = 0; i < repeats; ++i) {
            ops.matmul_forward(out.data(), inp.data(), weight.data(), M, N, K, false);
            ops.matmul_backward_input(dinp.data(), dout.data(), weight.data(), M, N, K, false);
            ops.matmul_backward_weight(dweight.data(), dout.data(), inp.data(), M, N, K);
        }
        return 0;
    }
    check(model != nullptr, "this work needs a model");
    const Dump dump(model);
    Session session(dump.network(isa));
    const auto* prompt = reinterpret_cast<const uint8_t*>(dump.prompt.data());
    if (name == "write") {  // characters of three bytes
        session.feed(prompt, dump.prompt.size(), nullptr);
        write_on(session, 1, 3 * repeats);
    } else if (name == "read") {  // the prompt
        std::vector<double> bits(dump.prompt.size());
        for (int i = 0; i < repeats; ++i) session.feed(prompt, dump.prompt.size(), bits.data());
    } else {
        return 2;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "levels") {
        for (const std::string& isa : kernels_here()) std::printf("%s ", isa.c_str());
        std::printf("\n");
        for (const char* const* name = train::supported_ops(); *name != nullptr; ++name)
            std::printf("%s ", *name);
        std::printf("\n");
        return 0;
    }
    if (what == "rows") return rows();
    if (what == "train") return compare_training();
    if (what == "write" && argc == 6)
        return write(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10), std::atoi(argv[5]));
    if (what == "work" && argc >= 5)
        return work(argv[2], argv[3], std::atoi(argv[4]), argc > 5 ? argv[5] : nullptr);
    return 2;
}
