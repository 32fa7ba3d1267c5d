"""setup.py: flags by file name, and no file compiled without need. Run on a small tree of its own."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULE = """
#include <Python.h>
#include "infer/answer.h"
extern "C" int kernel(void);
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", 0, -1, 0, 0, 0, 0, 0};
PyMODINIT_FUNC PyInit__core() {
    PyObject* module = PyModule_Create(&definition);
    PyModule_AddIntConstant(module, "answer", ANSWER);
    PyModule_AddIntConstant(module, "kernel", kernel());
    return module;
}
"""
KERNEL = """
int kernel(void) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    return 2;
#else
    return 0;
#endif
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "setup.py", tmp_path)
    for path, text in {
        "engine/__init__.py": "",
        "engine/src/infer/bindings.cpp": MODULE,
        "engine/src/infer/answer.h": "#define ANSWER 41\n",
        "cpu_vnni/kernel_avx2.c": KERNEL,
        "pyproject.toml": '[project]\nname = "x"\nversion = "1"\n[tool.setuptools]\npackages = ["engine"]\n',
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def build(tree: Path, *python: str, **environment: str) -> list[str]:
    """The files that were compiled."""
    run = subprocess.run(
        [*(python or (sys.executable, "setup.py")), "build_ext", "--inplace"],
        cwd=tree,
        capture_output=True,
        text=True,
        env={**os.environ, "PLM_OPS": "0", **environment},
    )
    assert run.returncode == 0, run.stderr
    listed = re.findall(r"^compile (.+)$", run.stdout + run.stderr, re.MULTILINE)
    assert ("Compiling: 100%, done" in run.stderr) == bool(listed)
    return sorted(source for line in listed for source in line.split())


def constants(tree: Path) -> tuple[int, int]:
    run = subprocess.run(
        [sys.executable, "-c", "import engine._core as c; print(c.answer, c.kernel)"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    answer, kernel = map(int, run.stdout.split())
    return answer, kernel


def touch_later(path: Path, text: str) -> None:
    path.write_text(text)
    later = path.stat().st_mtime + 5
    os.utime(path, (later, later))


def test_files_are_compiled_once_with_their_own_flags(tree: Path) -> None:
    both = ["cpu_vnni/kernel_avx2.c", "engine/src/infer/bindings.cpp"]
    assert build(tree) == both
    assert constants(tree) == (41, 2 if platform.machine() == "x86_64" else 0)
    assert build(tree) == []

    touch_later(tree / "engine/src/infer/bindings.cpp", MODULE.replace("ANSWER)", "ANSWER + 1)"))
    assert build(tree) == ["engine/src/infer/bindings.cpp"]
    assert constants(tree)[0] == 42

    touch_later(tree / "engine/src/infer/answer.h", "#define ANSWER 50\n")
    assert build(tree) == both
    assert constants(tree)[0] == 51


def test_other_flags_get_objects_of_their_own(tree: Path) -> None:
    assert len(build(tree)) == 2
    assert len(build(tree, CFLAGS="-DANSWER_IS_UNUSED=1")) == 2
    assert build(tree) == [], "the objects of the first build are still there"
    assert constants(tree)[0] == 41


def test_another_python_has_the_glue_alone_compiled(tree: Path) -> None:
    build(tree)
    other = """
import runpy, sysconfig
own = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: "cpython-399" if name == "SOABI" else own(name)
runpy.run_path("setup.py", run_name="__main__")
"""
    assert build(tree, sys.executable, "-c", other) == ["engine/src/infer/bindings.cpp"]


def test_an_unknown_instruction_set_stops_the_build(tree: Path) -> None:
    (tree / "cpu_vnni/kernel_avx9000.c").write_text("")
    with pytest.raises(AssertionError, match="no flags are known for the instruction set avx9000"):
        build(tree)


def test_the_machine_chooses_the_sources(tree: Path) -> None:
    (tree / "cpu_vnni/other_dotprod.c").write_text("#error compiled for the wrong machine")
    assert "cpu_vnni/other_dotprod.c" not in build(tree, PLM_TARGET="x86_64")
    (tree / "cpu_vnni/kernel_avx2.c").write_text("#error compiled for the wrong machine")
    (tree / "cpu_vnni/other_dotprod.c").unlink()
    (tree / "cpu_vnni/kernel_neon.c").write_text(KERNEL)
    assert "cpu_vnni/kernel_neon.c" in build(tree, PLM_TARGET="aarch64")


def test_a_tree_without_training_sources_builds_what_is_there(tree: Path) -> None:
    build(tree)
    assert [path.name.split(".")[0] for path in (tree / "engine").glob("*.so")] == ["_core"]


def test_what_only_tests_call_is_built_where_asked_for(tree: Path) -> None:
    """A module of its own, which takes as long to compile as the others' bindings."""
    source = tree / "engine/src/ops/bindings.cpp"
    source.parent.mkdir()
    source.write_text(MODULE.replace("_core", "_ops"))
    assert "engine/src/ops/bindings.cpp" not in build(tree)
    assert not list((tree / "engine").glob("_ops.*"))
    assert build(tree, PLM_OPS="1") == ["engine/src/ops/bindings.cpp"]
    assert list((tree / "engine").glob("_ops.*"))
