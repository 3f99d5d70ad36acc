"""Not enough memory, at whatever step and in whatever library: told as that, never as a damaged file or a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.core.errors import wants_memory

pytest.importorskip("resource")  # Windows has no such limits
pytest.importorskip("onnxruntime")
LIMITS_MB = (20, 40, 120, 300, None)
RUN = """
import json, os, resource, sys
from tests.faults.running import epistem

image, out, limits, small = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
words = ("--pixel-size", "0.5 nm", "--forecast", "none", "--workers", "1")
assert epistem("analyze", small, *words, "-o", out + "0").code == 0  # now all libraries are loaded
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
for limit in limits:
    most = resource.RLIM_INFINITY if limit is None else used + limit * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    ended = epistem("analyze", image, *words, "-o", out)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    print(json.dumps([ended.code, ended.said]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit counts what /proc/self/statm counts")
def test_an_image_without_room_in_memory_is_told_as_that_and_is_done_once_there_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 140, (1800, 1800), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib")
    tifffile.imwrite(tmp_path / "small.tif", pixels[:64, :64])
    words = [sys.executable, "-c", RUN, *(tmp_path / one for one in ("a.tif", "out")), json.dumps(LIMITS_MB)]
    ended = subprocess.run(
        [*words, tmp_path / "small.tif"], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    *short, last = map(json.loads, ended.stdout.splitlines())

    for code, said in short:
        assert code == 1
        assert "memory" in said
        for lie in ("Traceback", "fault of epistem", "damaged", "give it one type"):
            assert lie not in said
    assert last[0] == 0, last
    assert not ended.stderr, "a library told of it beside"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 377880576"
        ),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_every_library_says_it_in_its_own_words(error: Exception) -> None:
    assert wants_memory(error)


def test_a_disk_without_room_is_another_matter() -> None:
    assert not wants_memory(OSError(28, "No space left on device"))
