"""Signatures hold up against the public key, and keys appear in no text."""

import base64
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kalshi_bt.data.kalshi.auth import Credentials, PrivateKey
from kalshi_bt.errors import UsageError

RSA = rsa.generate_private_key(65537, 2048)
# The private key of test 1 of RFC 8032, section 7.1.
ED = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
TEXT = b"1703123456789GET/trade-api/v2/portfolio/balance"


def pem(key: PrivateKey | EllipticCurvePrivateKey, *, traditional: bool = False) -> bytes:
    kind = serialization.PrivateFormat
    return key.private_bytes(
        serialization.Encoding.PEM,
        kind.TraditionalOpenSSL if traditional else kind.PKCS8,
        serialization.NoEncryption(),
    )


def signature(
    credentials: Credentials, path: str = "/trade-api/v2/portfolio/balance", method: str = "GET"
) -> bytes:
    headers = credentials.headers(method, path, 1703123456789)
    assert headers["KALSHI-ACCESS-KEY"] == "a-key"
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "1703123456789"
    return base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"], validate=True)


def locked(key: PrivateKey, *, traditional: bool = False) -> bytes:
    kind = serialization.PrivateFormat
    return key.private_bytes(
        serialization.Encoding.PEM,
        kind.TraditionalOpenSSL if traditional else kind.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )


@pytest.mark.parametrize("traditional", [False, True])
def test_an_rsa_key_signs_time_method_and_path_by_pss(*, traditional: bool) -> None:
    found = signature(Credentials.from_pem("a-key", pem(RSA, traditional=traditional)))
    rule = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
    RSA.public_key().verify(found, TEXT, rule, hashes.SHA256())
    with pytest.raises(InvalidSignature):
        RSA.public_key().verify(found, TEXT + b"x", rule, hashes.SHA256())


def test_an_ed25519_key_signs_the_same_text_itself() -> None:
    assert signature(Credentials.from_pem("a-key", pem(ED))) == ED.sign(TEXT)


def test_a_query_is_not_signed_and_the_method_is_in_upper_case() -> None:
    credentials = Credentials.from_pem("a-key", pem(ED))
    path = "/trade-api/v2/portfolio/balance?limit=5"
    assert signature(credentials, path, "get") == ED.sign(TEXT)


@pytest.mark.parametrize("key", [RSA, ED])
def test_the_private_key_is_in_no_text(key: PrivateKey) -> None:
    credentials = Credentials.from_pem("a-key", pem(key))
    assert repr(credentials) == str(credentials) == "Credentials(key_id='a-key')"


def test_a_key_is_found_by_file_or_by_text_of_one_line(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(ED))
    by_file = {"KALSHI_API_KEY_ID": "a-key", "KALSHI_PRIVATE_KEY_FILE": str(file)}
    one_line = pem(ED).decode().replace("\n", "\\n")
    by_text = {"KALSHI_API_KEY_ID": "a-key", "KALSHI_PRIVATE_KEY": one_line}
    for environ in (by_file, by_text):
        found = Credentials.from_environment(environ)
        assert found is not None
        assert signature(found) == ED.sign(TEXT)


def test_without_variables_nobody_signs() -> None:
    assert Credentials.from_environment({"KALSHI_API_KEY": "of something else"}) is None


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"KALSHI_API_KEY_ID": "a-key"}, "without KALSHI_PRIVATE_KEY_FILE"),
        ({"KALSHI_PRIVATE_KEY": "SECRET"}, "without its name"),
        ({"KALSHI_PRIVATE_KEY": "a", "KALSHI_API_KEY_ID": "SECRET\nSECRET"}, "no name of a key"),
        ({"KALSHI_PRIVATE_KEY": "a", "KALSHI_API_KEY_ID": "SECRÉT"}, "no name of a key"),
        ({"KALSHI_PRIVATE_KEY": "a", "KALSHI_API_KEY_ID": "SECRET" * 11}, "no name of a key"),
        ({"KALSHI_API_KEY_ID": "a", "KALSHI_PRIVATE_KEY": "SECRET"}, "cannot be read"),
        ({"KALSHI_API_KEY_ID": "a", "KALSHI_PRIVATE_KEY_FILE": "absent.pem"}, "absent.pem"),
        ({"KALSHI_API_KEY_ID": "a", "KALSHI_PRIVATE_KEY_FILE": "~nobody-here/a.pem"}, "cannot be"),
        (
            {"KALSHI_API_KEY_ID": "a", "KALSHI_PRIVATE_KEY_FILE": "-----BEGIN SECRET"},
            "holds a key instead of the name of its file",
        ),
        ({"KALSHI_API_KEY_ID": "a", "KALSHI_PRIVATE_KEY": "SECRET\udcff"}, "cannot be read"),
    ],
)
def test_half_a_key_is_an_error_of_one_line_that_does_not_quote_it(
    environ: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError, match=told) as error:
        Credentials.from_environment(environ)
    assert "SECRET" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", [locked(RSA), locked(RSA, traditional=True), locked(ED)], ids=["8", "1", "ed"]
)
def test_an_encrypted_key_needs_its_password(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(text)
    environ = {"KALSHI_API_KEY_ID": "a-key", "KALSHI_PRIVATE_KEY_FILE": str(file)}
    opened = Credentials.from_environment({**environ, "KALSHI_PRIVATE_KEY_PASSWORD": "open sesame"})
    assert opened is not None
    assert opened.key.public_key() in [RSA.public_key(), ED.public_key()]
    with pytest.raises(UsageError, match="is encrypted; set KALSHI_PRIVATE_KEY_PASSWORD"):
        Credentials.from_environment(environ)
    with pytest.raises(UsageError, match="cannot be decrypted; check") as error:
        Credentials.from_environment({**environ, "KALSHI_PRIVATE_KEY_PASSWORD": "open barley"})
    assert "barley" not in str(error.value)


def test_a_password_of_a_key_that_is_not_encrypted_is_passed_over() -> None:
    assert signature(Credentials.from_pem("a-key", pem(ED), "needless")) == ED.sign(TEXT)


PUBLIC = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
SSH = ED.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.OpenSSH,
    serialization.NoEncryption(),
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is no PEM"),
        (b"~/kalshi.pem", "belongs in KALSHI_PRIVATE_KEY_FILE"),
        (PUBLIC, "is the public part"),
        (SSH, "convert it to PEM"),
        (pem(RSA)[:400], "PEM is damaged"),
        (pem(RSA).replace(b"A", b"!"), "PEM is damaged"),
    ],
    ids=["empty", "path", "public", "ssh", "cut", "damaged"],
)
def test_what_is_no_private_key_is_said_with_its_cure_and_without_a_word_of_it(
    text: bytes, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as error:
        Credentials.from_pem("a-key", text)
    for line in text.decode().splitlines():
        assert line.startswith("-----") or line not in str(error.value)
    assert "\n" not in str(error.value)


def test_another_kind_of_key_is_refused() -> None:
    with pytest.raises(UsageError, match="neither RSA nor Ed25519"):
        Credentials.from_pem("a-key", pem(generate_private_key(SECP256R1())))
