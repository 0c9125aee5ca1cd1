"""Signed requests: the three headers, and what they must hold."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kalshi_bt.errors import UsageError
from live_adapter.exchange.query import AnswerError

HEADERS = ("KALSHI-ACCESS-KEY", "KALSHI-ACCESS-TIMESTAMP", "KALSHI-ACCESS-SIGNATURE")
PublicKey = RSAPublicKey | Ed25519PublicKey


def read_key(path: Path) -> PublicKey:
    """Return the public key in a PEM file.

    Raises
    ------
    UsageError
        If the file cannot be read or holds no RSA or Ed25519 public key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} holds no public key in PEM; give that of your API key") from None
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise UsageError(f"{path} holds a {type(key).__name__}; expected RSA or Ed25519")
    return key


def check(
    key: PublicKey | None, method: str, path: str, headers: Mapping[str, str], *, needed: bool
) -> None:
    """Check the signature of a request.

    Parameters
    ----------
    key : public key or None
        None accepts every signature.
    method, path : str
        The path from the root of the host, without parameters.
    headers : mapping
        Of the request; any case.
    needed : bool
        Whether the endpoint can be used without them.

    Raises
    ------
    AnswerError
        401 if they are needed and lacking, incomplete, or do not fit the key.
    """
    given = {name: headers.get(name) for name in HEADERS}
    if not any(given.values()) and not needed:
        return
    name, timestamp, signature = given.values()
    if not (name and timestamp and signature):
        raise _refused("missing authentication headers")
    if not (timestamp.isascii() and timestamp.isdecimal()):
        raise _refused("the timestamp must be Unix milliseconds")
    try:
        signed = b64decode(signature, validate=True)
        if key is not None:
            _verify(key, signed, f"{timestamp}{method}{path}".encode())
    except (InvalidSignature, NotBase64):
        raise _refused("invalid signature") from None


def _verify(key: PublicKey, signed: bytes, message: bytes) -> None:
    if isinstance(key, RSAPublicKey):
        key.verify(signed, message, PSS(MGF1(SHA256()), SHA256.digest_size), SHA256())
    else:
        key.verify(signed, message)


def _refused(why: str) -> AnswerError:
    return AnswerError(401, "token_authentication_failure", why)
