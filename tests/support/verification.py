"""The checks of a verification by name."""

from facesr_edge.sdk.provenance.verify import VerifyOptions, verify


def checks(file, **options):
    """Whether all is right; and check and state -> text."""
    found = verify(file, VerifyOptions(**options))
    return found.ok, {(one.check, one.state): one.text for one in found.checks}
