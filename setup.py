"""Build the native modules: `engine._core` (inference), `engine._train` (training and the reader) and, where
asked for, `engine._cuda` (both on a GPU: PLM_CUDA=1, `make cuda`) and `engine._ops` (operators one by one,
for the tests: PLM_OPS=1, `make test`).

The files of one module need different instruction-set flags: each kernel file is named for its instruction
set and compiled with that set's flags, everything else with the baseline of the platform, so that no AVX code
can leak into what every CPU runs. Objects are kept in build/objects and compiled again only when they are
older than their sources or any header, or when a flag changes. No more compilers run at once than there are
processors and memory for. The rest of the package is in pyproject.toml.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
HEADER_ROOTS = ("engine/src", "cpu_vnni")
MACHINE = os.environ.get("PLM_TARGET") or platform.machine()  # for which CC and CXX compile
CUDA = "engine._cuda"

BASELINE = [
    *(
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fvisibility=hidden",
    ),  # no FMA contraction: same bits anywhere
    *("-fPIC", "-pthread", "-g0", "-fwrapv", "-DNDEBUG", "-Wall", "-Wextra"),
]
LANGUAGE = {".c": ["-std=c11"], ".cpp": ["-std=c++17", "-fvisibility-inlines-hidden"]}
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma"),
    "-mprefer-vector-width=512",
]
# The trainer needs no equal bits across processors, but sums and fused products as vector code.
TRAINING = ["-ffp-contract=fast", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"]
# What hands arguments from Python to the code that works: templates that take long to compile. That of
# inference is called for each character, where 1.6 us a call instead of 0.3 would be 1 % of writing; that of
# training and reading once for a great deal of work.
GLUE, SELDOM_CALLED = ["-O1"], ["-O0"]
# What only says which kernel works on what, or reads files: as fast with half the compiling.
CALLERS = ["-O1"]
OF_CALLERS = tuple(
    f"engine/src/{name}"
    for name in ("infer/batcher.", "infer/character_model.", "infer/wygpt.", "train/trainer.", "model/")
)
# GCC collects no garbage up to 300 MB, pybind11's headers being that and needed to the end, and often from
# there on, so that it stays under 500 MB.
SPARING = ["--param=ggc-min-expand=10", "--param=ggc-min-heapsize=300000"]
MEMORY_EACH = 500 << 20  # what one compiler may take
# Compiled as one: the headers are most of the work, pybind11's alone 7 s and 330 MB.
TOGETHER = [
    [f"engine/src/{name}.cpp" for name in names.split()]
    for names in (
        "infer/bindings infer/bindings_batcher infer/bindings_sampling",
        "train/bindings read/bindings",
        "ops/bindings ops/bindings_i8 ops/bindings_infer ops/bindings_train",
        "infer/batcher infer/generation infer/network infer/sampling infer/session text/stop_strings"
        " text/text",
        "infer/character_model infer/weights infer/trunk_state infer/peak",
        "infer/wygpt infer/wygpt_weights infer/wygpt_penalty",
        "train/trainer train/optimizer train/memory train/peak train/parameters train/sequence_reader",
        "read/reader read/text read/trainer",
    )
]
X86_FLAGS = {
    "avx2": AVX2,
    "avx512": AVX512,
    "avx512bf16": [*AVX512, "-mavx512bf16"],
    "avxvnni": ["-mavx2", "-mavxvnni"],
    "avx512vnni": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"],
}
# GCC 12 would move the loads of a whole step to its start, and have no registers left for 24 sums.
IN_ORDER = "-fno-schedule-insns"
ARM_FLAGS = {
    "neon": [IN_ORDER],
    "neonbf16": [IN_ORDER, "-march=armv8.2-a+bf16"],
    "dotprod": [IN_ORDER, "-march=armv8.2-a+dotprod"],
    "i8mm": [IN_ORDER, "-march=armv8.2-a+dotprod+i8mm"],
}
FLAGS_BY_SUFFIX = {**X86_FLAGS, **ARM_FLAGS}
OURS = {"x86_64": X86_FLAGS, "AMD64": X86_FLAGS, "aarch64": ARM_FLAGS, "arm64": ARM_FLAGS}.get(MACHINE, {})


def isa_of(source: str) -> str:
    """The file name's last word: `avxvnni` of `matmul_i8_avxvnni.c`."""
    word = re.search(r"_([a-z0-9]+)\.(?:c|cpp)$", source)
    return word[1] if word else ""


def isa_flags(source: str) -> list[str]:
    isa = isa_of(source)
    if isa.startswith(("avx", "sse", "neon")) and isa not in FLAGS_BY_SUFFIX:
        raise SystemExit(f"setup.py: {source}: no flags are known for the instruction set {isa}")
    return OURS.get(isa, [])


def is_foreign(source: str) -> bool:
    """Whether another kind of processor has its instruction set."""
    isa = isa_of(source)
    return isa in FLAGS_BY_SUFFIX and isa not in OURS


def found(*patterns: str) -> list[str]:
    """Files that match, sorted, relative to the root as setuptools wants them."""
    return sorted(str(p.relative_to(ROOT)) for pattern in patterns for p in ROOT.glob(pattern))


def headers() -> list[str]:
    roots = (f"{root}/**/*.{ending}" for root in HEADER_ROOTS for ending in ("h", "inc", "inl"))
    return found(*roots)


def units(sources: Sequence[str]) -> list[list[str]]:
    """The sources by what is compiled as one, in the order to link them.

    Of an inline function that several units have the linker takes the first: that must be neither one with
    instructions that not every processor has nor one of the glue.
    """
    grouped = [[source for source in group if source in sources] for group in TOGETHER]
    alone = [[source] for source in sources if not any(source in group for group in TOGETHER)]
    return sorted(
        filter(None, [*grouped, *alone]), key=lambda u: (isa_of(u[0]) in FLAGS_BY_SUFFIX, is_glue(u[0]), u)
    )


def is_glue(source: str) -> bool:
    return Path(source).name.startswith("bindings")


def cost(unit: Sequence[str]) -> float:
    """About how many seconds the unit takes on a slow core: for the estimate alone."""
    lines = sum((ROOT / source).read_bytes().count(b"\n") for source in unit)
    if is_glue(unit[0]):
        return 7 + lines / 50
    return 5 if Path(unit[0]).name.startswith("ops_") else 1 + lines / 150


def processors() -> float:
    """Those that this process may use, and as much of them as its cgroup grants."""
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    quota, period = (*cgroup("cpu.max").split(), "", "")[:2]
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else count


def free_memory() -> float:
    """Bytes that the machine and this process's cgroup have left."""
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
        free: float = next(int(row.split()[1]) << 10 for row in rows if row.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")
    most, used = cgroup("memory.max").strip(), cgroup("memory.current").strip()
    return min(free, int(most) - int(used)) if most.isdecimal() and used.isdecimal() else free


def cgroup(name: str) -> str:
    """A file of this process's cgroup (version 2); "" where there is none."""
    try:
        place = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        return (Path("/sys/fs/cgroup") / place / name).read_text()
    except OSError:
        return ""


def jobs() -> int:
    return max(1, int(min(processors(), free_memory() / MEMORY_EACH)))


class Progress:
    """One line with the share done and an estimate: rewritten on a terminal, every ten seconds elsewhere."""

    def __init__(self, what: str, total: float, at_once: int) -> None:
        self.what, self.total, self.done = what, total, 0.0
        self.begun = self.said = time.monotonic()
        self.live = sys.stderr.isatty()
        if total:
            several = f", {at_once} at a time" if at_once > 1 else ""
            self.say(f"{what}{several}: some {max(1, round(total / at_once / 60))} min on a slow machine")

    def add(self, amount: float) -> None:
        self.done += amount
        share, now = self.done / self.total, time.monotonic()
        left = (now - self.begun) * (1 - share) / share
        if self.live or share >= 0.999 or now - self.said >= 10:
            self.said = now
            some = f"about {left / 60:.0f} min" if left >= 90 else f"about {left:.0f} s"
            self.say(f"{self.what}: {share:.0%}" + (f", {some} left" if share < 0.999 else ", done"))
        if self.live and share >= 0.999:
            sys.stderr.write("\n")

    def say(self, text: str) -> None:
        sys.stderr.write(f"\r{text}\x1b[K" if self.live else f"{text}\n")
        sys.stderr.flush()


class BuildNative(build_ext):
    """Compiles each unit by itself, with its own flags, into an object kept between builds."""

    def build_extensions(self) -> None:
        native = [ext for ext in self.extensions if ext.name != CUDA]
        wanted = {unit[0]: unit for ext in native for unit in units(ext.sources)}
        self.compile_units(list(wanted.values()))
        super().build_extensions()
        if self.inplace and len(native) == len(self.extensions):
            self.remove_old_cuda()

    def build_extension(self, ext: Extension) -> None:
        if ext.name == CUDA:
            self.build_cuda(ext)
            return
        ext.extra_objects = [str(self.object_path(unit).relative_to(ROOT)) for unit in units(ext.sources)]
        # Linked anew each time: it takes a second, and objects of other flags may be older than the module.
        sources, ext.sources, forced, self.force = ext.sources, [], self.force, True
        try:
            super().build_extension(ext)
        finally:
            ext.sources, self.force = sources, forced

    def compile_units(self, wanted: list[list[str]]) -> None:
        newest_header = max((os.stat(ROOT / h).st_mtime for h in headers()), default=0.0)
        stale = [unit for unit in wanted if self.is_stale(unit, newest_header)]
        at_once = jobs()
        stale.sort(key=cost, reverse=at_once > 1)  # a lone compiler begins with what soon shows progress
        progress = Progress("Compiling", sum(map(cost, stale)), at_once)
        with ThreadPoolExecutor(at_once) as pool:
            running = {pool.submit(self.compile_unit, unit): unit for unit in stale}
            try:
                for finished in as_completed(running):
                    finished.result()
                    progress.add(cost(running[finished]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def remove_old_cuda(self) -> None:
        """A module made from older sources may not understand the others' tables."""
        for module in (ROOT / "engine").glob("_cuda.*.so"):
            if module.stat().st_mtime < max(os.stat(ROOT / h).st_mtime for h in headers()):
                sys.stderr.write("setup.py: removed engine._cuda, out of date (`make cuda` builds it)\n")
                module.unlink()

    def build_cuda(self, ext: Extension) -> None:
        """nvcc compiles and links all of it, so that no path of CUDA has to be guessed."""
        include = [f"-I{place}" for place in (ROOT, ROOT / "engine/src")]
        include += ["-isystem", pybind11.get_include(), "-isystem", sysconfig.get_path("include")]
        lower = [ROOT / header for header in headers()]

        def compile_source(source: str) -> Path:
            path = ROOT / source
            self.announce(f"compile {source}", level=logging.INFO)
            flags, own = (toolkit.FLAGS, []) if path.suffix == ".cu" else ([*toolkit.HOST, *include], lower)
            return toolkit.compiled(path, flags, own)[0]

        at_once = jobs()
        progress = Progress("Compiling for CUDA", len(ext.sources), at_once)
        objects = []
        with ThreadPoolExecutor(at_once) as pool:
            for obj in pool.map(compile_source, ext.sources):
                objects.append(obj)
                progress.add(1)
        module = Path(self.get_ext_fullpath(ext.name))
        module.parent.mkdir(parents=True, exist_ok=True)
        toolkit.linked(objects, module)

    def is_stale(self, unit: list[str], newest_header: float) -> bool:
        obj = self.object_path(unit)
        newest = max(newest_header, *(os.stat(ROOT / source).st_mtime for source in unit))
        return bool(self.force) or not obj.exists() or obj.stat().st_mtime <= newest

    def compile_unit(self, unit: list[str]) -> None:
        self.announce(f"compile {' '.join(unit)}", level=logging.INFO)
        obj = self.object_path(unit)
        # Compiled beside its place and moved there: an interrupted build leaves no half-written object.
        scratch = obj.with_suffix(f".{os.getpid()}")
        source = unit[0]
        if len(unit) > 1:
            source = str(obj.with_suffix(".cpp").relative_to(ROOT))
            (ROOT / source).write_text("".join(f'#include "{each}"\n' for each in unit))
        include = ["engine/src", "."]
        if is_glue(unit[0]):
            include += [pybind11.get_include(), sysconfig.get_path("include")]
        command = [*self.command(unit), *(f"-I{place}" for place in include), "-c", source]
        try:
            subprocess.run([*command, "-o", str(scratch)], check=True)
            os.replace(scratch, obj)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"setup.py: {' '.join(unit)} does not compile: {error}") from None
        finally:
            scratch.unlink(missing_ok=True)

    def command(self, unit: list[str]) -> list[str]:
        """The compiler and its flags. None of Python's own, of which every Python has others: only the glue
        depends on which it is."""
        source = unit[0]
        name = "CXX" if source.endswith(".cpp") else "CC"
        usual = shlex.split(sysconfig.get_config_var(name) or name.lower())[:1]
        compiler = shlex.split(os.environ.get(name, "")) or usual
        flags = [*BASELINE, *LANGUAGE[Path(source).suffix], *isa_flags(source)]
        if source.startswith(("engine/src/train/", "engine/src/read/")):
            flags += TRAINING
        if source.startswith(OF_CALLERS):
            flags += CALLERS
        if is_glue(source):
            flags += GLUE if source.startswith("engine/src/infer/") else SELDOM_CALLED
            flags += SPARING if is_gcc(*compiler) else []
        own = ("CFLAGS", "CXXFLAGS", "CPPFLAGS") if name == "CXX" else ("CFLAGS", "CPPFLAGS")
        return [*compiler, *flags, *(word for each in own for word in shlex.split(os.environ.get(each, "")))]

    def object_path(self, unit: list[str]) -> Path:
        """Every set of flags, compiler and, of the glue, Python has its own objects."""
        recipe = [*unit, *self.command(unit)]
        if is_glue(unit[0]):
            recipe += [sysconfig.get_config_var("SOABI") or sys.version, pybind11.__version__]
        tag = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:12]
        place = ROOT / "build" / "objects" / Path(unit[0]).parent
        place.mkdir(parents=True, exist_ok=True)
        return place / f"{Path(unit[0]).name}.{tag}.o"


@cache
def is_gcc(*compiler: str) -> bool:
    run = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
    return "Free Software Foundation" in run.stdout


def cuda_sources() -> list[str]:
    """None unless PLM_CUDA=1 asks for engine._cuda: nvcc takes minutes, and most machines have no GPU."""
    if os.environ.get("PLM_CUDA") != "1":
        return []
    sources = found("cuda/*.cu", "cuda/*.cpp", "engine/src/cuda/*.cpp")
    shared = (
        "infer/vector_ops_portable",
        "infer/network",
        "infer/sampling",
        "infer/trunk_state",
        "infer/wygpt_penalty",
        "text/text",
    )
    sources += [f"engine/src/{name}.cpp" for name in shared] if sources else []  # with engine._core
    if sources and toolkit.find() is None:
        raise SystemExit("setup.py: PLM_CUDA=1 and no nvcc (`make cuda` brings it)")
    return sources


def modules() -> list[Extension]:
    """The native modules whose sources exist."""
    model = "engine/src/model/*.cpp"
    inference = (model, "engine/src/infer/*.cpp", "engine/src/text/*.cpp", "cpu_vnni/*.c")
    training = (model, "engine/src/train/**/*.cpp", "engine/src/read/*.cpp")
    sources = {CUDA: cuda_sources(), "engine._core": found(*inference), "engine._train": found(*training)}
    if os.environ.get("PLM_OPS") == "1":
        sources["engine._ops"] = sorted({*found(*inference, *training, "engine/src/ops/*.cpp")})
    return [
        Extension(
            name,
            [file for file in files if not is_foreign(file)],
            language="c++",
            extra_link_args=["-pthread"],
            depends=[*headers(), *filter(is_foreign, files), *found("cuda/*.h", "cuda/*.py")],
        )
        for name, files in sources.items()
        if any(file.endswith(".cpp") for file in files)
    ]


os.chdir(ROOT)
if (ROOT / "cuda/toolkit.py").exists():
    sys.path.insert(0, str(ROOT))
    from cuda import toolkit
setup(ext_modules=modules(), cmdclass={"build_ext": BuildNative})
