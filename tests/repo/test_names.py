"""Names: the code uses the field's terms; names that were replaced by one are not introduced again."""

import ast
import re
from collections import defaultdict

REPLACED = re.findall(
    r"\w+",
    """
    fewer_bits RoundedConvolution roundings Dialect FORGETTING kept_high always_high kept_in_floats share_of_loss
    quantise_ungated with_pairs beside_fp32 Blueprint blueprint PixelsToPixels PixelsToMaps AddsToBicubic unrounded
    lenders lending Loan without_notes up_to_date
    Contract OnDevice RESTING give_back tool_says any_gpu any_version key_here made_with started_from kept_out ROOMS
    sightings Finding Workbench EventClock Intake gpu_machine gpu_findings smi_says Contestant contestants NOT_OURS
    own_work own_work_ms own_work_share pieces_ms check_strangers
    Judged Judgement Judgements Verdict verdicts_on judged_frames false_alarms quiet_score small_and_true miss_sheet
    collage missed LARGEST_ERROR LARGEST_FACE SMALLEST_FACE
    Learner Learning BranchedConvolution start_damped start_swin imitation_loss recoloured
    Played told said whose
    """,
)
"""Only names without a second, common meaning."""
REPLACED_PREFIXES = ("MOST_", "LEAST_")
"""Limits are MAX_ and MIN_."""


def defined(tree):
    """Names that a module defines: classes, functions, parameters, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_replaced_names_are_not_defined(root, files):
    modules = defaultdict(set)
    for path in files:
        if path.suffix == ".py":
            for name in defined(ast.parse((root / path).read_text("utf-8"))):
                if name in REPLACED or name.startswith(REPLACED_PREFIXES):
                    modules[name].add(path.as_posix())
    assert modules == {}


def test_defined_names_are_found():
    code = "class A:\n    b: int\ndef c(d, *e):\n    f = g = 1\n    d.h = 2\n    for i in e: pass\n"
    assert {*defined(ast.parse(code))} == {*"Abcdefghi"}
