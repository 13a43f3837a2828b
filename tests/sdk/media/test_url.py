"""URLs in messages never show what opens a door."""

from __future__ import annotations

import pytest
from facesr_edge.sdk.media.url import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://secret@host/x", "https://***@host/x"),
        ("http://secret:@host/x", "http://***@host/x"),
        ("http://ann:secret@host/x", "http://ann:***@host/x"),
        ("mqtt://ann@host/x", "mqtt://ann@host/x"),
        ("https://host/x?accessToken=secret&apiToken=secret&a=1", "https://host/x?accessToken=***&apiToken=***&a=1"),
        ("https://host/x?secretKey=secret&clientSecret=secret", "https://host/x?secretKey=***&clientSecret=***"),
        ("https://host/x?tokens=1&author=a&barcode=2", "https://host/x?tokens=1&author=a&barcode=2"),
    ],
)
def test_secrets_of_a_url_are_masked_and_the_rest_is_shown(url, shown):
    assert masked(url) == shown
