"""Environment variables in configuration texts."""

import pytest
from facesr_edge.sdk.live.config.variables import expand

ENVIRONMENT = {
    "PASSWORD": "p@ss/w:rd?",
    "HOST": "10.0.0.7:554",
    "URL": "rtsp://a:b@c/d?e=f",
    "EMPTY": "",
    "REF": "${URL}",
}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("rtsp://admin:${PASSWORD}@cam/live", "rtsp://admin:p%40ss%2Fw%3Ard%3F@cam/live"),
        ("rtsp://admin:${PASSWORD}@${HOST}/live", "rtsp://admin:p%40ss%2Fw%3Ard%3F@10.0.0.7:554/live"),
        ("http://${HOST}/live?token=${PASSWORD}&x=1", "http://10.0.0.7:554/live?token=p%40ss%2Fw%3Ard%3F&x=1"),
        ("rtsp://cam/${PASSWORD}", "rtsp://cam/p@ss/w:rd?"),
        ("${URL}", ENVIRONMENT["URL"]),
        ("${REF}", "${URL}"),  # values are not expanded again
        ("${EMPTY}", ""),
        ("a$b $${URL} $$ {}", "a$b ${URL} $$ {}"),
    ],
)
def test_variables_are_replaced(text, expanded):
    assert expand(text, ENVIRONMENT) == expanded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${MISSING}", "the environment variable MISSING is not set; set it"),
        ("${}", "expected a variable such as ${NAME}, got ${}"),
        ("${PASSWORD", "got ${PASSWORD"),
        ("${PASSWORD:-x}", "got ${PASSWORD:-x}"),
    ],
)
def test_other_variables_are_refused(text, message):
    with pytest.raises(ValueError) as error:
        expand(text, ENVIRONMENT)
    assert message in str(error.value) and ENVIRONMENT["PASSWORD"] not in str(error.value)
