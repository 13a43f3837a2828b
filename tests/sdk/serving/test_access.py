"""Who may see the page: tokens, host names, pages of other sites."""

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.serving.access import access_for, is_local

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.3.2.1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("camera-box", False)],
)  # fmt: skip
def test_an_address_that_others_reach_gets_a_token(host, local):
    assert is_local(host) == local
    tokens = [access_for(host, 8080).token for _ in range(2)]
    if local:
        assert tokens == [None, None]
    else:
        assert len(tokens[0]) >= 32 and tokens[0] != tokens[1]
    assert access_for(host, 8080, TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeé", "0123456789abcd\n"])
def test_a_token_that_is_short_or_no_header_value_is_refused(token):
    with pytest.raises(UsageError, match="at least 16 ASCII characters without spaces"):
        access_for("127.0.0.1", 8080, token)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, False),
        ({"authorization": f"Bearer {TOKEN}"}, True),
        ({"authorization": f"bearer  {TOKEN}"}, True),
        ({"authorization": f"Basic {TOKEN}"}, False),
        ({"authorization": f"Bearer {TOKEN}x"}, False),
        ({"authorization": "Bearer"}, False),
        ({"cookie": f"other=1; facesr-edge-8080={TOKEN}"}, True),
        ({"cookie": f"facesr-edge-8081={TOKEN}"}, False),
        ({"cookie": "facesr-edge-8080="}, False),
        ({"cookie": "facesr-edge-8080=é"}, False),
        ({"cookie": '"; =;;'}, False),
    ],
)
def test_the_token_comes_in_the_header_or_the_cookie(headers, allowed):
    assert access_for("0.0.0.0", 8080, TOKEN).has_token(headers) == allowed


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "127.0.0.1:8080"}, True),
        ({"host": "localhost:8080"}, True),
        ({"host": "[::1]:8080"}, True),
        ({"host": "192.168.1.5"}, True),  # an address cannot be pointed to this machine by a foreign name server
        ({"host": "box.example:8080"}, True),
        ({"host": "BOX.example"}, True),
        ({"host": "attacker.example:8080"}, False),
        ({"host": "127.0.0.1.attacker.example"}, False),
        ({"host": "[::1"}, False),
        ({"host": ""}, False),
        ({}, False),
        ({"host": "attacker.example", "authorization": f"Bearer {TOKEN}"}, True),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"}, True),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:9000"}, False),
        ({"host": "127.0.0.1:8080", "origin": "null"}, False),
        ({"host": "127.0.0.1:8080", "origin": "http://["}, False),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "same-origin"}, True),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, False),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate",
          "sec-fetch-dest": "document"}, True),  # a link
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate",
          "sec-fetch-dest": "iframe"}, False),
    ],
)  # fmt: skip
def test_requests_by_foreign_names_or_from_foreign_pages_are_refused(headers, allowed):
    assert access_for("127.0.0.1", 8080, TOKEN, ["Box.example"]).is_for_us(headers) == allowed
