"""Build the native modules: `engine._core` (inference), `engine._train` (operators and training) and, where
there is nvcc, `engine._cuda` (both on a GPU).

The files of one module need different instruction-set flags: each kernel file is named for its instruction
set and compiled with that set's flags, everything else with the baseline of the platform, so that no AVX code
can leak into what every CPU runs. Objects are kept in build/objects and compiled again only when they are
older than their source or any header, or when a flag changes. The rest of the package is in pyproject.toml.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
HEADER_ROOTS = ("engine/src", "cpu_vnni")
CUDA = "engine._cuda"

BASELINE = [
    *(
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fvisibility=hidden",
    ),  # no FMA contraction: same bits anywhere
    *("-fPIC", "-pthread", "-g0", "-Wall", "-Wextra"),
]
LANGUAGE = {".c": ["-std=c11"], ".cpp": ["-std=c++17", "-fvisibility-inlines-hidden"]}
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma"),
    "-mprefer-vector-width=512",
]
# The trainer needs no equal bits across processors, but sums and fused products as vector code.
TRAINING = ["-ffp-contract=fast", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"]
FLAGS_BY_SUFFIX = {
    "avx2": AVX2,
    "avx512": AVX512,
    "avx512bf16": [*AVX512, "-mavx512bf16"],
    "avxvnni": ["-mavx2", "-mavxvnni"],
    "avx512vnni": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"],
}


def isa_flags(source: str) -> list[str]:
    """Flags by the file name's last word: `matmul_i8_avxvnni.c` gets those of `avxvnni`.

    Elsewhere than on x86-64 such a file is compiled to nothing by its own `#if`, so it gets none.
    """
    word = re.search(r"_([a-z0-9]+)\.(?:c|cpp)$", source)
    if word is None or platform.machine() not in ("x86_64", "AMD64"):
        return []
    if word[1].startswith(("avx", "sse")) and word[1] not in FLAGS_BY_SUFFIX:
        raise SystemExit(f"setup.py: {source}: no flags are known for the instruction set {word[1]}")
    return FLAGS_BY_SUFFIX.get(word[1], [])


def found(*patterns: str) -> list[str]:
    """Files that match, sorted, relative to the root as setuptools wants them."""
    return sorted(str(p.relative_to(ROOT)) for pattern in patterns for p in ROOT.glob(pattern))


def headers() -> list[str]:
    roots = (f"{root}/**/*.{ending}" for root in HEADER_ROOTS for ending in ("h", "inc", "inl"))
    return found(*roots)


class BuildNative(build_ext):
    """Compiles each source by itself, with its own flags, into an object kept between builds."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == CUDA:
            self.build_cuda(ext)
            return
        stale_after = max((os.stat(ROOT / h).st_mtime for h in headers()), default=0.0)
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
            objects = list(pool.map(lambda source: self.compile_one(source, stale_after), ext.sources))
        ext.extra_objects = objects
        # Linked anew each time: it takes a second, and objects of other flags may be older than the module.
        sources, ext.sources, forced, self.force = ext.sources, [], self.force, True
        try:
            super().build_extension(ext)
        finally:
            ext.sources, self.force = sources, forced

    def build_cuda(self, ext: Extension) -> None:
        """nvcc compiles and links all of it, so that no path of CUDA has to be guessed."""
        include = [f"-I{place}" for place in (ROOT, ROOT / "engine/src")]
        include += ["-isystem", pybind11.get_include(), "-isystem", sysconfig.get_path("include")]
        lower = [ROOT / header for header in headers()]

        def compile_source(source: str) -> Path:
            path = ROOT / source
            self.announce(f"compile {source}", level=logging.WARNING)
            flags, own = (toolkit.FLAGS, []) if path.suffix == ".cu" else ([*toolkit.HOST, *include], lower)
            return toolkit.compiled(path, flags, own)[0]

        with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
            objects = list(pool.map(compile_source, ext.sources))
        module = Path(self.get_ext_fullpath(ext.name))
        module.parent.mkdir(parents=True, exist_ok=True)
        toolkit.linked(objects, module)

    def compile_one(self, source: str, stale_after: float) -> str:
        """Returns the path of the object, compiled only if it must be."""
        flags = [*BASELINE, *LANGUAGE[Path(source).suffix], *isa_flags(source)]
        if source.startswith(("engine/src/train/", "engine/src/read/")):
            flags += TRAINING
        obj = self.object_path(source, flags)
        newest = max(os.stat(ROOT / source).st_mtime, stale_after)
        if self.force or not obj.exists() or obj.stat().st_mtime <= newest:
            # Compiled beside its place and moved there: an interrupted build leaves no half-written object.
            self.announce(f"compile {source}", level=logging.WARNING)  # to be seen in a quiet build too
            scratch = obj.parent / f"{obj.stem}.{os.getpid()}"
            made = self.compiler.compile(
                [source],
                output_dir=str(scratch),
                include_dirs=[pybind11.get_include(), "engine/src", "."],
                extra_postargs=flags,
            )
            os.replace(made[0], obj)
            self.remove_empty(Path(made[0]).parent, obj.parent)
        return str(obj.relative_to(ROOT))

    def object_path(self, source: str, flags: list[str]) -> Path:
        """Every set of flags, compiler and Python has its own objects: none is mistaken for another's."""
        environment = [os.environ.get(name, "") for name in ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS")]
        recipe = [
            *flags,
            *self.compiler.compiler_so,
            *environment,
            sysconfig.get_config_var("SOABI") or sys.version,
        ]
        tag = hashlib.sha256("\0".join([*recipe, pybind11.__version__]).encode()).hexdigest()[:12]
        place = ROOT / "build" / "objects" / Path(source).parent
        place.mkdir(parents=True, exist_ok=True)
        return place / f"{Path(source).name}.{tag}.o"

    @staticmethod
    def remove_empty(folder: Path, stop: Path) -> None:
        while folder != stop:
            folder.rmdir()
            folder = folder.parent


def cuda_sources() -> list[str]:
    """None where engine._cuda cannot be built or is not wanted (PLM_CUDA=0), with a line that says so."""
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
    if not sources or os.environ.get("PLM_CUDA") == "0":
        return []
    if toolkit.find() is None:
        sys.stderr.write("setup.py: no nvcc, so without engine._cuda (`make cuda` brings it)\n")
        return []
    return sources


def modules() -> list[Extension]:
    """The native modules whose sources exist."""
    sources = {
        CUDA: cuda_sources(),
        "engine._core": found(
            "engine/src/infer/*.cpp", "engine/src/text/*.cpp", "engine/src/model/*.cpp", "cpu_vnni/*.c"
        ),
        "engine._train": found(
            "engine/src/train/**/*.cpp", "engine/src/read/*.cpp", "engine/src/model/*.cpp"
        ),
    }
    return [
        Extension(
            name,
            files,
            language="c++",
            extra_link_args=["-pthread"],
            depends=[*headers(), *found("cuda/*.h", "cuda/*.py")],
        )
        for name, files in sources.items()
        if any(file.endswith(".cpp") for file in files)
    ]


os.chdir(ROOT)
if (ROOT / "cuda/toolkit.py").exists():
    sys.path.insert(0, str(ROOT))
    from cuda import toolkit
setup(ext_modules=modules(), cmdclass={"build_ext": BuildNative})
