"""A URI can be meant in one way only, and lies under an allowed prefix or is not fetched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import ErrorCode, JobError
from worker.domain.uri import AllowedPrefixes, PictureUri

ALLOWED = AllowedPrefixes.of(
    [
        "s3://labels/in/",
        "gs://labels/",
        "https://cdn.example.com/labels/",
        "https://cdn.example.com:8443/",
        "https://[2001:DB8::0:1]/a%7eb/",
        "file:///var/label%20s/",
    ]
)
# What stands in a path when someone tries to climb out of it.
CLIMBS = ("..", ".", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..;x", "%2e%2e;", "..%2f..", "..%5c", "..\\")


def refusal(text: str, allowed: AllowedPrefixes = ALLOWED) -> JobError:
    with pytest.raises(JobError) as raised:
        allowed.check(PictureUri.parse(text))
    return raised.value


def outcome(text: str) -> PictureUri | JobError:
    try:
        return PictureUri.parse(text)
    except JobError as error:
        return error


@pytest.mark.parametrize(
    "text",
    [
        "s3://labels/in/a.png",
        "S3://labels/in/deep/a b%.png",
        "gs://labels/größe/[1].png",
        "https://cdn.example.com/labels/a.png?X-Amz-Signature=1&x=../..",
        "HTTPS://CDN.Example.COM:443/labels/a%2Fb.png",
        "https://cdn.example.com/%6cabels/a.png",
        "https://cdn.example.com:8443/a.png",
        "https://[2001:db8::1]/a~b/c.png",
        "https://[2001:db8:0::1]:443/a%7Eb/c.png",
        "file:///var/label%20s/a.png",
        "file://localhost/var/label%20s/a.png",
    ],
)
def test_what_lies_under_a_prefix_is_allowed(text: str) -> None:
    uri = PictureUri.parse(text)
    ALLOWED.check(uri)
    assert uri.original == text
    assert "?" not in str(uri)


@pytest.mark.parametrize(
    "text",
    [
        "s3://labels/a.png",
        "s3://labels/inside/a.png",
        "s3://labels/in",
        "s3://label/s/in/a.png",
        "s3://labels.evil/in/a.png",
        "az://labels/in/a.png",
        "https://cdn.example.com/labels",
        "https://cdn.example.com/labels%2Fa.png",
        "https://cdn.example.com/other/a.png",
        "https://cdn.example.com:444/labels/a.png",
        "https://cdn.example.com.evil.org/labels/a.png",
        "https://evil.org/https://cdn.example.com/labels/a.png",
        "https://evil.org/?https://cdn.example.com/labels/a.png",
        "https://[2001:db8::2]/a~b/c.png",
        "https://169.254.169.254/latest/meta-data/",
        "file:///var/label/s/a.png",
        "file:///etc/passwd",
        "http://cdn.example.com/labels/a.png",
        "ftp://cdn.example.com/labels/a.png",
        "data:image/png,AAAA",
    ],
)
def test_what_lies_elsewhere_is_forbidden_with_the_setting_s_name(text: str) -> None:
    error = refusal(text)
    assert error.code is ErrorCode.URI_FORBIDDEN
    assert "LABELWIRE_BLOB__ALLOWED_PREFIXES" in error.message or "never fetched" in error.message


def test_nothing_is_allowed_by_default() -> None:
    assert refusal("s3://labels/in/a.png", AllowedPrefixes()).code is ErrorCode.URI_FORBIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "https://cdn.example.com@evil.org/labels/a.png",
        "https://user:secret@cdn.example.com/labels/a.png",
        "https://evil.org\\@cdn.example.com/labels/a.png",
        "https://evil.org#@cdn.example.com/labels/a.png",
        "https://cdn.example.com\t/labels/a.png",
        "https://cdn.ex\u0430mple.com/labels/a.png",
        "https://cdn\u3002example\u3002com/labels/a.png",
        "https://cdn.example.com./labels/a.png",
        "https://cdn..example.com/labels/a.png",
        "https://-cdn.example.com/labels/a.png",
        "https://cdn.example.com:/labels/../x",
        "https://cdn.example.com:99999/labels/a.png",
        "https://cdn.example.com:8 443/labels/a.png",
        "https://cdn.example.com:\u0664/labels/a.png",
        "https://[fe80::1%25eth0]/labels/a.png",
        "https://[::1/labels/a.png",
        "https://127.1/labels/a.png",
        "https://2130706433/labels/a.png",
        "https://0x7f.0.0.0x1/labels/a.png",
        "https://127.0.0.01/labels/a.png",
        "https:///labels/a.png",
        "https://cdn.example.com",
        "https://cdn.example.com/labels/a b.png",
        "https://cdn.example.com/labels/größe.png",
        "https://cdn.example.com/labels/%zz.png",
        "https://cdn.example.com/labels/%ff.png",
        "https://cdn.example.com/labels/%00.png",
        "https://cdn.example.com/labels/%0d%0aHost:evil/a.png",
        "https://cdn.example.com/labels/%25252525252525252e/a.png",
        "s3://labels/in/",
        "s3://labels/in//a.png",
        "s3://labels/in/a.png?versionId=1",
        "s3://labels/in/a.png#x",
        "s3://la..bels/in/a.png",
        "s3:///in/a.png",
        "file://server/share/a.png",
        "file:///var/label s/a.png",
        "s3://labels/in/\ud800.png",
        "s3://labels/in/" + "a" * 8192,
        "//labels/in/a.png",
        "",
        *(f"https://cdn.example.com/labels/{climb}/a.png" for climb in CLIMBS),
        *(f"s3://labels/in/{climb}/a.png" for climb in CLIMBS),
        *(f"file:///var/label%20s/{climb}/a.png" for climb in CLIMBS),
    ],
)
def test_what_can_be_meant_in_two_ways_is_no_uri(text: str) -> None:
    error = refusal(text)
    assert error.code is ErrorCode.JOB_INVALID
    assert error.message.endswith(".")
    assert "secret" not in error.message


@given(st.text(max_size=60) | st.from_regex(r"(s3|https|file)://[a-z@:%.#?/\\\[\]2eE;]{0,40}", fullmatch=True))
def test_any_text_is_a_uri_that_reads_again_the_same_or_an_error(text: str) -> None:
    came = outcome(text)
    if isinstance(came, JobError):
        assert came.code in {ErrorCode.JOB_INVALID, ErrorCode.URI_FORBIDDEN}
        assert len(came.message) < 600
    else:
        again = PictureUri.parse(came.canonical)
        assert (again.canonical, again.authority) == (came.canonical, came.authority)
        assert not {".", ".."} & set(came.path.split("/"))


def test_what_is_shown_holds_no_query_and_is_short() -> None:
    uri = PictureUri.parse("https://cdn.example.com/labels/a.png?signature=hunter2")
    assert str(uri) == "https://cdn.example.com/labels/a.png"
    assert "hunter2" not in repr(uri)
    assert uri.target == "/labels/a.png?signature=hunter2"
    assert len(str(PictureUri.parse("s3://labels/" + "a" * 8000))) < 210


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("s3://labels", "must end in '/'"),
        ("https://cdn.example.com/labels?x=/", "must end in '/'"),
        ("https://cdn.example.com", "must end in '/'"),
        ("s3://", "cannot be used"),
        ("https:///labels/", "cannot be used"),
        ("http://cdn.example.com/", "never fetched"),
        ("https://user@cdn.example.com/", "user before its host"),
        ("s3://labels/../", "cannot be used"),
        ("https://*.example.com/", "no valid host"),
        ("file:///", "every file"),
        ("", "must end in '/'"),
    ],
)
def test_a_prefix_that_allows_more_than_it_shows_is_refused_at_the_start(prefix: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        AllowedPrefixes.of([prefix])


def test_prefixes_are_kept_in_one_form() -> None:
    once = AllowedPrefixes.of(["HTTPS://CDN.example.com:443/a%7e%2f/", "file:///a%20b/"])
    assert once.prefixes == ("https://cdn.example.com/a~%2F/", "file:///a%20b/")
    assert AllowedPrefixes.of(once.prefixes) == once
