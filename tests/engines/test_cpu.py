"""Instruction sets of the processor, from /proc/cpuinfo texts of several machines."""

import pytest
from facesr_edge.engines.cpu import cpuinfo, has_bf16, has_vnni, instruction_sets, usable_cores

CPUS = {
    "sapphire rapids": ("flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8", True, True),
    "ice lake": ("flags\t\t: fpu avx2 avx512f avx512_vnni", True, False),
    "alder lake": ("flags\t\t: fpu avx2 avx_vnni", True, False),
    "zen 2": ("flags\t\t: fpu sse4_2 avx2 fma f16c", False, False),
    "cortex-a76": ("Features\t: fp asimd asimdhp asimddp", True, False),
    "neoverse v2": ("Features\t: fp asimd asimddp i8mm bf16 sve2", True, True),
    "cortex-a72": ("Features\t: fp asimd crc32", False, False),
}


def root_with(folder, text):
    (folder / "proc").mkdir()
    (folder / "proc/cpuinfo").write_text(text)
    return folder


@pytest.mark.parametrize(("line", "vnni", "bf16"), CPUS.values(), ids=CPUS)
def test_features_follow_from_the_flags(tmp_path, line, vnni, bf16):
    root = root_with(tmp_path, f"processor\t: 0\nmodel name\t: A CPU\n{line}\n\nprocessor\t: 1\nflags\t: other\n")
    assert (has_vnni(root), has_bf16(root)) == (vnni, bf16)
    assert cpuinfo(root)["model name"] == "A CPU" and "other" not in instruction_sets(root)


def test_unknown_processor_has_no_features(tmp_path):
    assert not has_vnni(tmp_path) and not has_bf16(tmp_path) and cpuinfo(tmp_path) == {}


def test_at_least_one_core_is_usable():
    assert usable_cores() >= 1
