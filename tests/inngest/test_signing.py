"""Signatures, against the SDK that must accept and produce them."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inngest._internal import net, server_lib, transforms

from steprig.inngest.signing import (
    SIGNATURE_HEADER,
    ExpiredSignatureError,
    MalformedSignatureError,
    MissingSignatureError,
    SignatureError,
    WrongSignatureError,
    canonicalize,
    hash_signing_key,
    is_bearer_of,
    sign_request,
    sign_response,
    validate_response_sig,
    verify_signature,
)

KEY = "signkey-test-12345678"
OTHER_KEY = "signkey-test-87654321"
BODY = b'{"b": 1.0, "a": [true, null, "\xc3\xa9"]}'
TIMESTAMP = 1_767_322_800
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)
FIVE_MINUTES = timedelta(minutes=5)

CLOUD = server_lib.ServerKind.CLOUD
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_the_bearer_token_is_the_hash_of_the_protocols_example() -> None:
    expected = "5f78c33274e43fa9de5659265c1d917e25c03722dcb0b8d27db8d5feaa813953"
    assert hash_signing_key("signkey-prod-deadbeef") == hash_signing_key("deadbeef") == expected


@given(st.binary(min_size=1), st.sampled_from(["signkey-test-", "signkey-my_branch1-", ""]))
def test_the_bearer_token_is_the_sdks(secret: bytes, prefix: str) -> None:
    key = prefix + secret.hex()
    assert hash_signing_key(key) == transforms.hash_signing_key(key) == hashlib.sha256(secret).hexdigest()


@pytest.mark.parametrize("sent", [hash_signing_key(KEY), f"signkey-test-{hash_signing_key(KEY)}"])
def test_a_bearer_token_is_known_with_and_without_the_keys_prefix(sent: str) -> None:
    assert is_bearer_of(f"Bearer {sent}", KEY)
    for wrong in (sent, f"Basic {sent}", f"Bearer {sent}0", "Bearer ", ""):
        assert not is_bearer_of(wrong, KEY)
    assert not is_bearer_of(f"Bearer {sent}", OTHER_KEY)


def test_a_key_that_is_not_hex_is_not_shown() -> None:
    with pytest.raises(MalformedSignatureError) as caught:
        hash_signing_key("signkey-test-topsecret")
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(JSON)
def test_the_sdk_accepts_a_signed_request(data: object) -> None:
    body = str(transforms.dump_json(data)).encode()
    headers = {SIGNATURE_HEADER: sign_request(body, KEY, TIMESTAMP)}
    validated = net.validate_request_sig(
        body=body, headers=headers, mode=CLOUD, signing_key=KEY, signing_key_fallback=None
    )
    assert validated == KEY


@pytest.mark.parametrize("body", [b"", b"null", BODY])
def test_a_request_is_signed_as_the_sdk_would(body: bytes) -> None:
    assert sign_request(body, KEY, TIMESTAMP) == net.sign_request(body, KEY, TIMESTAMP)


def test_the_time_comes_first() -> None:
    assert sign_request(BODY, KEY, TIMESTAMP).startswith(f"t={TIMESTAMP}&s=")


def test_the_sdk_refuses_a_request_signed_with_another_key() -> None:
    headers = {SIGNATURE_HEADER: sign_request(BODY, OTHER_KEY, TIMESTAMP)}
    refused = net.validate_request_sig(
        body=BODY, headers=headers, mode=CLOUD, signing_key=KEY, signing_key_fallback=None
    )
    assert isinstance(refused, Exception)


def test_a_signed_request_is_verified_in_any_spelling_of_its_json() -> None:
    header = sign_request(BODY, KEY, TIMESTAMP)
    verify_signature(header, b'{"a":[true,null,"\\u00e9"],"b":1}', KEY, now=NOW, max_age=FIVE_MINUTES)


def test_the_fields_of_a_signature_may_come_in_any_order() -> None:
    time, _, signature = sign_request(BODY, KEY, TIMESTAMP).partition("&")
    verify_signature(f"{signature}&{time}", BODY, KEY, now=NOW, max_age=FIVE_MINUTES)


@pytest.mark.parametrize("header", [None, ""])
def test_a_missing_signature_is_said_to_be_missing(header: str | None) -> None:
    with pytest.raises(MissingSignatureError, match=SIGNATURE_HEADER):
        verify_signature(header, BODY, KEY, now=NOW, max_age=None)


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        f"t={TIMESTAMP}",
        f"s={'0' * 64}",
        f"t=&s={'0' * 64}",
        f"t=-5&s={'0' * 64}",
        f"t=now&s={'0' * 64}",
        f"t={'9' * 16}&s={'0' * 64}",
        f"t={TIMESTAMP}&s={'0' * 63}",
        f"t={TIMESTAMP}&s={'g' * 64}",
        f"t={TIMESTAMP}&s=é{'0' * 63}",
    ],
)
def test_a_malformed_signature_names_the_expected_form(header: str) -> None:
    with pytest.raises(
        MalformedSignatureError, match="expected x-inngest-signature: t=<unix seconds>&s=<64 hex digits>"
    ):
        verify_signature(header, BODY, KEY, now=NOW, max_age=None)


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": NaN}'])
def test_a_body_without_a_canonical_form_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedSignatureError, match="expected JSON"):
        canonicalize(body)


@pytest.mark.parametrize(
    ("body", "key", "timestamp"),
    [
        (BODY, OTHER_KEY, TIMESTAMP),
        (BODY + b" ", KEY, TIMESTAMP + 1),
        (b'{"b": 2}', KEY, TIMESTAMP),
        (b"", KEY, TIMESTAMP),
    ],
)
def test_a_signature_of_anything_else_is_wrong(body: bytes, key: str, timestamp: int) -> None:
    signature = sign_request(BODY, KEY, TIMESTAMP).partition("&")[2]
    with pytest.raises(WrongSignatureError):
        verify_signature(f"t={timestamp}&{signature}", body, key, now=NOW, max_age=None)


@pytest.mark.parametrize("age", [timedelta(seconds=301), timedelta(seconds=-301)])
def test_a_signature_expires_in_both_directions(age: timedelta) -> None:
    with pytest.raises(ExpiredSignatureError, match="at most 300 s"):
        verify_signature(sign_request(BODY, KEY, TIMESTAMP), BODY, KEY, now=NOW + age, max_age=FIVE_MINUTES)


@pytest.mark.parametrize("age", [FIVE_MINUTES, -FIVE_MINUTES])
def test_a_signature_lives_for_all_of_its_age(age: timedelta) -> None:
    verify_signature(sign_request(BODY, KEY, TIMESTAMP), BODY, KEY, now=NOW + age, max_age=FIVE_MINUTES)


def test_without_an_age_a_signature_never_expires() -> None:
    verify_signature(sign_request(BODY, KEY, TIMESTAMP), BODY, KEY, now=NOW + timedelta(days=9), max_age=None)


def test_a_wrong_signature_is_wrong_before_it_is_old() -> None:
    with pytest.raises(WrongSignatureError):
        verify_signature(sign_request(BODY, KEY, 0), BODY, OTHER_KEY, now=NOW, max_age=FIVE_MINUTES)


@given(st.binary())
def test_an_sdks_response_is_validated(body: bytes) -> None:
    header = str(net.sign_response(body, KEY, TIMESTAMP))
    assert header == sign_response(body, KEY, TIMESTAMP)
    validate_response_sig({"X-Inngest-Signature": header}, body, KEY, now=NOW, max_age=FIVE_MINUTES)


def test_a_response_is_signed_byte_for_byte() -> None:
    headers = {SIGNATURE_HEADER: sign_response(b'{"a": 1}', KEY, TIMESTAMP)}
    with pytest.raises(WrongSignatureError):
        validate_response_sig(headers, b'{"a":1}', KEY, now=NOW)


def test_a_response_without_signature_is_refused() -> None:
    with pytest.raises(MissingSignatureError):
        validate_response_sig({}, b"", KEY, now=NOW)


@pytest.mark.parametrize("header", [None, "t=1&s=x", f"t=1&s={'0' * 64}", sign_request(BODY, KEY, 0)])
def test_no_message_shows_the_key_or_the_right_digest(header: str | None) -> None:
    right = sign_request(BODY, KEY, 1).partition("s=")[2]
    with pytest.raises(SignatureError) as caught:
        verify_signature(header, BODY, KEY, now=NOW, max_age=FIVE_MINUTES)
    assert "12345678" not in str(caught.value)
    assert right not in str(caught.value)
