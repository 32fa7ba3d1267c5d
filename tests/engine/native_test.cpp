// Inference as C++, without Python around it, on arrays of exactly the size it needs, so that the sanitizers
// see a read or write one too far. A tiny model of random weights is read, restored, written and batched with
// every table of kernels that this CPU supports, and all must give the same bits.
//
// Usage: native_test, or native_test threads for sessions of one model, and a batcher, in several threads.
// Prints what was tested; exit status 1 at the first difference.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/src/infer/batcher.h"
#include "engine/src/infer/character_model.h"
#include "engine/src/infer/session.h"
#include "engine/src/infer/wygpt.h"

using namespace plm;
using namespace plm::infer;

namespace {

void check(bool good, const std::string& what) {
    if (good) return;
    std::fprintf(stderr, "native_test: %s\n", what.c_str());
    std::exit(1);
}

template <typename Error, typename Call>
void check_throws(Call call, const std::string& what) {
    try {
        call();
    } catch (const Error&) {
        return;
    }
    check(false, what + " is no error");
}

using Bytes = std::vector<uint8_t>;

// Bytes that meet every rule of UTF-8, most of them malformed.
Bytes random_bytes(SplitMix64& random, size_t count) {
    static const uint8_t edges[] = {'a',  '\n', 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                    0xC0, 0xC2, 0xDF, 0xE0, 0xE4, 0xED, 0xEF, 0xF0, 0xF1,
                                    0xF4, 0xF5, 0xFD, 0xFE, 0xFF, 0x80, 0xBF, 0xBF};
    Bytes bytes(count);
    for (uint8_t& byte : bytes) byte = edges[random.next() % sizeof edges];
    return bytes;
}

std::vector<float> random_floats(SplitMix64& random, size_t count, float scale) {
    std::vector<float> floats(count);
    for (float& x : floats) x = scale * float(2 * random.uniform() - 1);
    return floats;
}

void cut_anything() {
    SplitMix64 random{1};
    for (size_t size = 0; size < 2000; ++size) {
        const Bytes bytes = random_bytes(random, size % 97);
        Bytes again;
        Utf8Cutter cutter;
        auto closed = std::make_unique<Character[]>(2);
        for (const uint8_t byte : bytes) {
            check(cutter.prefix_lead() <= 256 && cutter.prefix_pair() <= 1024, "a prefix has no row");
            const int count = cutter.push(byte, closed.get());
            for (int i = 0; i < count; ++i) {
                check(closed[i].id() < 4096, "a character has no row");
                again.insert(again.end(), closed[i].bytes, closed[i].bytes + closed[i].size);
            }
        }
        if (cutter.flush(closed.get()))
            again.insert(again.end(), closed[0].bytes, closed[0].bytes + closed[0].size);
        check(again == bytes, "cutting lost bytes");
    }
}

void sample_anything(const VectorOps& ops) {
    SplitMix64 random{2};
    for (int decoder = 0; decoder < 200; ++decoder) {
        const auto keep = Keep(decoder % 7);
        const double p = 0.01 + 0.99 * random.uniform();
        const double amount = keep == Keep::kTopK ? double(1 + random.next() % 300) : p;
        const double temperature = decoder % 5 == 0 ? 0.0 : 3 * random.uniform() + 1e-6;
        Sampler sampler({keep, amount, temperature, 1 + random.uniform(), 1 + int(random.next() % 70)},
                        random.next());
        const float scales[] = {0, 1e-30f, 1, 20, 1e5f, FLT_MAX};
        Utf8Cutter cutter;
        for (int i = 0; i < 120; ++i) {
            const std::vector<float> logits = random_floats(random, 256, scales[random.next() % 6]);
            const ByteMask mask = allowed_bytes(cutter.pending, cutter.size, i % 2 == 0);
            const uint8_t byte = sampler.sample(ops, logits.data(), cutter, i % 2 == 0);
            check(mask[byte], "a byte was drawn that is not allowed");
            Character closed[2];
            if (cutter.push(byte, closed) > 0) sampler.accept(closed[0]);
        }
        std::vector<float> broken(256);
        broken[size_t(decoder % 256)] = decoder % 2 ? NAN : INFINITY;
        check_throws<std::domain_error>([&] { sampler.sample(ops, broken.data(), cutter, true); },
                                        "a broken logit");
    }
}

// A model of random weights; each tensor lies in memory of its own.
class RandomModel {
  public:
    explicit RandomModel(const Config& c) : config(c) {
        const int E = c.embedding_width();
        rows("lead_embedding", 256, E);
        rows("char_embedding", c.characters, E);
        if (c.bigrams) rows("bigram_embedding", c.bigrams, E);
        if (c.trigrams) rows("trigram_embedding", c.trigrams, E);
        if (c.pieces) rows("piece_embedding", c.pieces, E);
        if (c.embedding) rows("input", c.width, E);
        for (int i = 0; i < c.layers; ++i) {
            const std::string layer = "layers." + std::to_string(i);
            const std::string mixer = layer + (c.attends(i) ? ".attention" : ".recurrence");
            const int inner = c.attends(i) ? c.heads * c.head_size : c.state;
            floats(mixer + ".norm", c.width, 2);
            floats(mixer + ".conv", 3 * c.width, 1);
            floats(mixer + ".bias", c.attends(i) ? c.heads * c.window : c.state, 2);
            rows(mixer + ".in", c.attends(i) ? inner + 2 * c.head_size : 3 * inner, c.width);
            rows(mixer + ".out", c.width, inner);
            swiglu(layer + ".swiglu", c.width, c.hidden);
        }
        floats("norm", c.width, 2);
        rows("head.base", c.bases(), c.width);
        if (c.skip) rows("head.skip", c.bases(), E);
        rows("head.prefix_lead", 257, c.head_width);
        rows("head.prefix_pair", 1025, c.head_width);
        if (c.prefixes) rows("head.prefix", c.prefixes, c.head_width);
        for (int i = 0; i < c.head_layers; ++i)
            swiglu("head.layers." + std::to_string(i), c.head_width, c.head_hidden);
        floats("head.norm", c.head_width, 2);
        rows("head.out", 256, c.head_width);
    }

    std::shared_ptr<Network> network(const std::string& isa, const std::string& spoilt = "") const {
        const auto find = [&](const std::string& name) {
            const auto& tensor = tensors_.at(name);
            const size_t missing = name == spoilt ? 1 : 0;
            return TensorView{tensor.first.data(), tensor.second.data(), tensor.first.size(),
                              tensor.second.size() - missing};
        };
        return std::make_shared<CharacterModel>(Weights(config, find, isa));
    }

    const Config config;

  private:
    void floats(const std::string& name, int count, float scale) {
        tensors_[name].second = random_floats(random_, size_t(count), scale);
    }
    void rows(const std::string& name, int count, int width) {
        auto& [values, scales] = tensors_[name];
        values.resize(size_t(count) * size_t(width));
        for (int8_t& value : values) value = int8_t(int(random_.next() % 255) - 127);
        scales = random_floats(random_, size_t(count), 0.01f);
        scales[0] = 0;  // nothing may be divided by a scale
    }
    void swiglu(const std::string& name, int width, int hidden) {
        floats(name + ".norm", width, 2);
        rows(name + ".up", 2 * hidden, width);
        rows(name + ".down", width, hidden);
    }

    SplitMix64 random_{3};
    std::map<std::string, std::pair<std::vector<int8_t>, std::vector<float>>> tensors_;
};

// What two runs must agree on, to the last bit.
struct Trace {
    std::vector<double> bits;
    std::string state;
    Bytes written;

    bool operator==(const Trace& other) const {
        return bits == other.bits && state == other.state && written == other.written;
    }
};

Sampler hot_sampler(uint64_t seed) {
    return {{Keep::kTopP, 1.0, 1.5, 1.2, 20}, seed};
}

// Whole characters in every encoding.
const std::vector<std::string> kStops = {"\n\n", "ab"};

// Does not own it.
std::shared_ptr<Session> borrowed(Session& session) {
    return {std::shared_ptr<Session>(), &session};
}

Generation begin(Session& session, uint64_t seed, int max_bytes) {
    return Generation(borrowed(session), hot_sampler(seed), max_bytes, true, kStops, true);
}

void take(Generation& generation, Bytes& to) {
    Character character;
    double bits;
    while (generation.take(&character, &bits)) {
        check(std::isfinite(bits), "what is written has no finite cost");
        to.insert(to.end(), character.bytes, character.bytes + character.size);
    }
}

void write(Session& session, Trace& trace) {
    BatchDecoder decoder;
    for (int i = 0; i < 20; ++i) {
        Generation generation = begin(session, uint64_t(i), i % 7);
        while (generation.finish_reason() == FinishReason::kNone) decoder.run({&generation});
        take(generation, trace.written);
        generation.close();
    }
}

void check_restore(const std::shared_ptr<Network>& network, Session& session, Trace& trace) {
    std::string pending;
    const std::string saved = session.save(&pending);
    trace.state = saved;
    Session restored(network);
    check_throws<std::invalid_argument>([&] { restored.restore(saved.substr(1), pending); },
                                        "a state that is too short");
    check_throws<std::invalid_argument>([&] { restored.restore(saved, "\xE4\xBD\xA0"); },
                                        "a whole character that is pending");
    check_throws<std::invalid_argument>([&] { restored.restore(saved, "\xE4\xBD\xA0\xE4"); },
                                        "four pending bytes");
    const std::string broken(saved.size(), '\xFF');
    check_throws<std::invalid_argument>([&] { restored.restore(broken, pending); }, "a state of NaN");
    restored.restore(saved, pending);
    Trace again;
    write(session, trace);
    write(restored, again);
    check(trace.written == again.written, "a restored session writes another text");
}

// Texts around the size of a batch, read whole and in pieces, with and without scores.
Trace read_and_write(const std::shared_ptr<Network>& network, uint64_t seed) {
    SplitMix64 random{seed};
    Trace trace;
    Session whole(network), pieces(network), silent(network);
    for (const size_t size : {0, 1, 2, 62, 63, 64, 65, 66, 129, 1000, 300}) {
        Bytes bytes = random_bytes(random, size);
        if (size == 1000)  // characters of four bytes: the most bytes that a batch can hold
            for (size_t i = 0; i < size; ++i) bytes[i] = uint8_t("\xF0\x9F\x98\x80"[i % 4]);
        std::vector<double> bits(size), bits_in_pieces;
        whole.feed(bytes.data(), size, bits.data());
        silent.feed(bytes.data(), size, nullptr);
        for (size_t done = 0; done < size;) {
            const size_t count = std::min(size - done, size_t(1 + random.next() % 90));
            std::vector<double> some(count);
            pieces.feed(Bytes(bytes.begin() + long(done), bytes.begin() + long(done + count)).data(), count,
                        some.data());
            bits_in_pieces.insert(bits_in_pieces.end(), some.begin(), some.end());
            done += count;
        }
        check(bits == bits_in_pieces, "a text in pieces costs other bits than the whole");
        trace.bits.insert(trace.bits.end(), bits.begin(), bits.end());
    }
    std::string pending;
    check(whole.save(&pending) == pieces.save(&pending), "a text in pieces leaves another state");
    check(whole.save(&pending) == silent.save(&pending), "scoring a text leaves another state");
    std::vector<float> logits(256);
    whole.logits(logits.data());
    check_restore(network, whole, trace);
    return trace;
}

std::unique_ptr<Session> start(const std::shared_ptr<Network>& network, size_t i) {
    auto session = std::make_unique<Session>(network);
    SplitMix64 random{i};
    const Bytes prompt = random_bytes(random, i);
    session->feed(prompt.data(), prompt.size(), nullptr);
    if (const uint8_t end = kEndMark; i % 2) session->feed(&end, 1, nullptr);
    return session;
}

// What the session of this number writes alone, and its state after.
std::pair<Bytes, std::string> write_alone(const std::shared_ptr<Network>& network, size_t i, int max_bytes) {
    const auto session = start(network, i);
    Generation generation = begin(*session, i, max_bytes);
    BatchDecoder decoder;
    while (generation.finish_reason() == FinishReason::kNone) decoder.run({&generation});
    Bytes text;
    take(generation, text);
    generation.close();
    std::string pending;
    return {text, session->save(&pending)};
}

// More sessions than fit in a batch, each of which must write what it writes alone.
void write_together(const std::shared_ptr<Network>& network) {
    constexpr size_t kSessions = kMaxRows + 7;
    constexpr int kRoom = 60;
    std::vector<std::unique_ptr<Session>> together;
    std::vector<Generation> generations;
    std::vector<Generation*> pointers;
    for (size_t i = 0; i < kSessions; ++i) {
        together.push_back(start(network, i));
        generations.push_back(begin(*together[i], i, kRoom));
    }
    for (Generation& generation : generations) pointers.push_back(&generation);
    BatchDecoder decoder;
    for (int i = 0; i < kRoom; ++i) decoder.run(pointers);
    for (size_t i = 0; i < kSessions; ++i) {
        Bytes text;
        std::string pending;
        check(generations[i].finish_reason() != FinishReason::kNone, "a text has not ended");
        take(generations[i], text);
        generations[i].close();
        check(std::make_pair(text, together[i]->save(&pending)) == write_alone(network, i, kRoom),
              "a session in company writes another text than alone");
    }
}

// The same through a batcher with fewer places than texts: some wait, some are cancelled, some not read at
// all.
void write_in_turns(const std::shared_ptr<Network>& network) {
    constexpr size_t kTexts = 24;
    constexpr int kRoom = 60;
    std::vector<std::shared_ptr<Session>> sessions;
    std::vector<std::shared_ptr<Stream>> streams;
    {
        Batcher batcher(network, {3, 5, int(kTexts), 7, 0});
        for (size_t i = 0; i < kTexts; ++i) {
            sessions.push_back(start(network, i));
            Generation generation(sessions[i], hot_sampler(i), kRoom, true, kStops, true);
            streams.push_back(std::make_shared<Stream>(sessions[i], "", std::move(generation), std::nullopt,
                                                       Seconds(i % 2 ? 0.001 : 0)));
            batcher.submit(streams[i]);
            if (i % 5 == 0) streams[i]->cancel();
        }
        std::vector<std::thread> readers;
        for (size_t i = 0; i < kTexts; ++i) {
            if (i % 5 == 0) continue;
            readers.emplace_back([&, i] {
                std::string text, pending;
                while (!streams[i]->ended()) text += streams[i]->read(Seconds(0.01));
                check(std::make_pair(Bytes(text.begin(), text.end()), sessions[i]->save(&pending)) ==
                          write_alone(network, i, kRoom),
                      "a text in a batcher is another than alone");
            });
        }
        for (std::thread& reader : readers) reader.join();
    }
    for (size_t i = 0; i < kTexts; i += 5)
        check(streams[i]->finish_reason() != FinishReason::kNone, "a text outlives its batcher");
}

// Many texts after one place, and many sessions moved on by a byte each: as if every one were alone.
void read_together(const std::shared_ptr<Network>& network) {
    SplitMix64 random{9};
    Session start(network);
    const Bytes before = random_bytes(random, 20);
    start.feed(before.data(), before.size(), nullptr);
    std::vector<std::string> texts;
    std::vector<double> expected;
    for (size_t i = 0; i < 2 * kMaxRows; ++i) {
        const Bytes bytes = random_bytes(random, i == 7 ? 500 : random.next() % 9);
        texts.emplace_back(bytes.begin(), bytes.end());
        std::vector<double> bits(bytes.size());
        start.fork()->feed(bytes.data(), bytes.size(), bits.data());
        expected.insert(expected.end(), bits.begin(), bits.end());
    }
    std::vector<double> bits(expected.size());
    start.score_each(std::vector<std::string_view>(texts.begin(), texts.end()), bits.data());
    check(bits == expected, "a text among others costs other bits than alone");

    std::vector<std::unique_ptr<Session>> together;
    std::vector<Session*> pointers;
    for (size_t i = 0; i < texts.size(); ++i) pointers.push_back(together.emplace_back(start.fork()).get());
    std::vector<Bytes> fed(texts.size());
    for (int decoder = 0; decoder < 10; ++decoder) {
        const Bytes bytes = random_bytes(random, texts.size());
        Session::feed_bytes(pointers, bytes.data());
        for (size_t i = 0; i < fed.size(); ++i) fed[i].push_back(bytes[i]);
    }
    std::vector<float> logits(256 * texts.size()), alone(256);
    Session::logits_of(pointers, logits.data());
    for (size_t i = 0; i < fed.size(); ++i) {
        const auto session = start.fork();
        session->feed(fed[i].data(), fed[i].size(), nullptr);
        session->logits(alone.data());
        check(std::equal(alone.begin(), alone.end(), logits.begin() + long(256 * i)),
              "a session in company reads another text than alone");
    }
}

// All options at once, so that every table and ring has its first and last row read.
Config everything() {
    Config c{48, 3, 16, 32, 32, 16, 2};
    c.patch = PatchRule::kWord, c.longest = 5;
    c.characters = 300, c.bigrams = 100, c.trigrams = 90, c.pieces = 80, c.embedding = 16;
    c.prefixes = 70, c.views = 3, c.skip = 1;
    c.mixers = "ra", c.heads = 5, c.head_size = 16, c.window = 32;
    return c;
}

const Config kConfigs[] = {
    {32, 2, 48, 64, 16, 32, 1}, {48, 1, 16, 32, 80, 16, 2}, {16, 0, 16, 16, 16, 16, 0}, everything()};

void run_models() {
    for (const Config& config : kConfigs) {
        const RandomModel model(config);
        const Trace expected = read_and_write(model.network("portable"), 5);
        for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != nullptr; ++k) {
            const std::string isa = (*k)->name;
            if (!cpu_vnni_supported(isa.c_str())) continue;
            check(read_and_write(model.network(isa), 5) == expected, isa + " gives other bits than portable");
            write_together(model.network(isa));
            write_in_turns(model.network(isa));
            read_together(model.network(isa));
            if (&config == kConfigs) std::printf("%s\n", isa.c_str());
        }
        for (const char* name : {"lead_embedding", "norm", "head.out", "head.prefix_pair"})
            check_throws<std::invalid_argument>([&] { model.network("portable", name); },
                                                std::string(name) + " being too short");
        check_throws<std::invalid_argument>([&] { model.network("abacus"); }, "an unknown instruction set");
    }
}

// A wyGPT model of random weights, as a float or an int8 file has them.
std::shared_ptr<Network> wygpt_network(const WygptConfig& config, bool quantized, const std::string& isa) {
    SplitMix64 random{6};
    std::map<std::string, std::pair<std::vector<int8_t>, std::vector<float>>> tensors;
    const auto find = [&](const std::string& name) {
        const bool bias = name.find("bias") != std::string::npos;
        const bool is_in = name.find(".in") != std::string::npos;
        const int R = config.width;
        const int N = name == "out"                                 ? 256
                      : !is_in                                      ? R
                      : name.find("attention") != std::string::npos ? 4 * R
                                                                    : 2 * R;
        auto& [values, floats] = tensors[name];
        const size_t size = bias ? size_t(config.heads * config.context) : size_t(N * R);
        floats =
            random_floats(random, quantized && !bias ? size_t(N) : size, quantized && !bias ? 0.01f : 1.0f);
        if (!quantized || bias) return TensorView{nullptr, floats.data(), 0, floats.size()};
        values.resize(size);
        for (int8_t& value : values) value = int8_t(int(random.next() % 255) - 127);
        return TensorView{values.data(), floats.data(), values.size(), floats.size()};
    };
    return std::make_shared<WygptNetwork>(WygptWeights(config, find, isa));
}

// In UTF-16 any byte may come after any other; what is drawn must close characters all the same.
void write_utf16(const std::shared_ptr<Network>& network) {
    Session session(network);
    SplitMix64 random{8};
    for (int decoder = 0; decoder < 20; ++decoder) {
        const Bytes bytes = random_bytes(random, random.next() % 7);
        session.feed(bytes.data(), bytes.size(), nullptr);
        Trace trace;
        write(session, trace);
    }
}

void run_wygpt() {
    for (const bool quantized : {false, true}) {
        const WygptConfig odd{7, 21, 2, 3, Encoding::kUtf8};
        const Trace expected = read_and_write(wygpt_network(odd, quantized, "portable"), 5);
        for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != nullptr; ++k) {
            const std::string isa = (*k)->name;
            if (!cpu_vnni_supported(isa.c_str())) continue;
            const auto network = wygpt_network(odd, quantized, isa);
            check(read_and_write(network, 5) == expected, isa + " gives other bits than portable");
            write_together(network);
            write_in_turns(network);
            read_together(network);
        }
    }
    for (const Encoding encoding : {Encoding::kUtf16le, Encoding::kUtf16be})
        write_utf16(wygpt_network({65, 40, 1, 2, encoding}, false, ""));
}

// Sessions of one model in threads of their own; and one session in two threads, where one must be refused or
// wait its turn, and never both go on.
void run_threads() {
    const RandomModel model(kConfigs[0]);
    const auto network = model.network("");
    const Trace expected = read_and_write(network, 5);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back(
            [&] { check(read_and_write(network, 5) == expected, "threads disturb each other"); });
    for (std::thread& thread : threads) thread.join();
    write_in_turns(network);

    Session shared(network);
    const Bytes text(3000, 'a');
    const auto feed = [&] {
        for (int i = 0; i < 20; ++i) try {
                shared.feed(text.data(), text.size(), nullptr);
            } catch (const std::logic_error&) {
            }
    };
    std::thread first(feed), second(feed);
    first.join();
    second.join();
    std::printf("threads\n");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string(argv[1]) == "threads") {
        run_threads();
        return 0;
    }
    cut_anything();
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != nullptr; ++k)
        if (cpu_vnni_supported((*k)->name)) sample_anything(*select_vector_ops(*k));
    run_models();
    run_wygpt();
    return 0;
}
