"""Who asks: three headers that prove the holder of a private key sent a request at a time.

The signed text is the time in milliseconds, the method and the path from the root without its
query. RSA keys sign by RSASSA-PSS with SHA-256, MGF1 of SHA-256 and 32 bytes of salt; Ed25519 keys
sign the text itself.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kalshi_bt.errors import UsageError

KEY_ID = "KALSHI_API_KEY_ID"
KEY_FILE = "KALSHI_PRIVATE_KEY_FILE"
KEY_TEXT = "KALSHI_PRIVATE_KEY"
KEY_PASSWORD = "KALSHI_PRIVATE_KEY_PASSWORD"  # noqa: S105  # the name of one

_EXAMPLE = "a952bcbe-ec3b-4b5b-b8f9-11dae589608c"
_NAME = 60  # letters of a name; the shortest private key has more

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True)
class Credentials:
    """A key of the exchange; its private part is in no text made of this.

    Attributes
    ----------
    key_id : str
        The name the exchange gave the key.
    key : private key
        RSA or Ed25519.
    """

    key_id: str
    key: PrivateKey = field(repr=False)

    @classmethod
    def from_pem(cls, key_id: str, pem: bytes, password: str = "") -> "Credentials":
        """Return the credentials of a private key in PEM.

        Raises
        ------
        UsageError
            If there is no name, or the text is no RSA or Ed25519 private key (PKCS#1 or PKCS#8), or
            an encrypted one that the password does not open. A needless password is passed over.

        Examples
        --------
        >>> Credentials.from_pem("a-key", b"not a key")
        Traceback (most recent call last):
        ...
        kalshi_bt.errors.UsageError: the private key of a-key cannot be read: it is no PEM, ...
        """
        if not key_id.strip():
            raise UsageError(f"a private key was given without its name; set {KEY_ID}")
        if not (key_id.isascii() and key_id.strip().isprintable() and len(key_id) < _NAME):
            # Not repeated: it may be the key itself, set in the wrong place.
            raise UsageError(f"{KEY_ID} is no name of a key, such as {_EXAMPLE}")
        encrypted = b"ENCRYPTED" in pem
        try:
            key = load_pem_private_key(pem, _bytes(password) or None if encrypted else None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The reason is left out: it may quote the text of the key.
            raise UsageError(f"the private key of {key_id} {_wrong(pem, password)}") from None
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise UsageError(f"the private key of {key_id} is neither RSA nor Ed25519")
        return cls(key_id.strip(), key)

    @classmethod
    def from_file(
        cls, key_id: str, path: str | os.PathLike[str], password: str = ""
    ) -> "Credentials":
        """Return the credentials of a private key in a PEM file.

        Raises
        ------
        UsageError
            If the file cannot be read or holds no such key.
        """
        if "-----BEGIN" in str(path) or "\n" in str(path):
            raise UsageError(
                f"{KEY_FILE} holds a key instead of the name of its file; set {KEY_TEXT} to it"
            )
        try:
            pem = Path(path).expanduser().read_bytes()
        except (OSError, RuntimeError) as error:  # the latter where ~ is nobody's home
            words = getattr(error, "strerror", None) or error
            raise UsageError(f"key file {path} cannot be read ({words})") from None
        return cls.from_pem(key_id, pem, password)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Credentials | None":
        """Return the credentials named by environment variables; None if none are.

        Parameters
        ----------
        environ : mapping
            ``KALSHI_API_KEY_ID`` with ``KALSHI_PRIVATE_KEY_FILE`` (a path) or
            ``KALSHI_PRIVATE_KEY`` (the PEM text itself), and ``KALSHI_PRIVATE_KEY_PASSWORD`` where
            it is encrypted.

        Raises
        ------
        UsageError
            If only a part of them is set, or the key cannot be read.

        Examples
        --------
        >>> Credentials.from_environment({}) is None
        True
        """
        name, path, text = (environ.get(n, "") for n in (KEY_ID, KEY_FILE, KEY_TEXT))
        if not (name or path or text):
            return None
        if not (path or text):
            raise UsageError(f"{KEY_ID} is set without {KEY_FILE} or {KEY_TEXT}")
        password = environ.get(KEY_PASSWORD, "")
        if path:
            return cls.from_file(name, path, password)
        # Variables often carry the line ends of the PEM as two characters.
        return cls.from_pem(name, _bytes(text.replace("\\n", "\n")), password)

    def headers(self, method: str, path: str, milliseconds: int) -> dict[str, str]:
        """Return the headers that sign one request.

        Parameters
        ----------
        method : str
            As sent: GET, POST.
        path : str
            From the root, such as ``/trade-api/v2/markets``; a query is not signed.
        milliseconds : int
            Time of the request since 1970-01-01, UTC.
        """
        text = f"{milliseconds}{method.upper()}{path.partition('?')[0]}".encode()
        if isinstance(self.key, Ed25519PrivateKey):
            signature = self.key.sign(text)
        else:
            salted = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            signature = self.key.sign(text, salted, hashes.SHA256())
        return {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(milliseconds),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }


def _bytes(variable: str) -> bytes:
    """Return the bytes of a variable, which need not be UTF-8."""
    return os.fsencode(variable)


def _wrong(pem: bytes, password: str) -> str:
    """Return what is wrong with a text that is no key, and what to do, without a word of it."""
    if b"-----BEGIN" not in pem:
        return (
            "cannot be read: it is no PEM, which begins with -----BEGIN; expected the text the "
            f"exchange showed when the key was made (the name of its file belongs in {KEY_FILE})"
        )
    if b"PUBLIC KEY" in pem or b"CERTIFICATE" in pem:
        return "is the public part of a key; give the private one"
    if b"OPENSSH" in pem:
        return "has the format of OpenSSH; convert it to PEM (ssh-keygen -p -m PEM -f FILE)"
    if b"ENCRYPTED" in pem and not password:
        return f"is encrypted; set {KEY_PASSWORD}"
    if b"ENCRYPTED" in pem:
        return f"cannot be decrypted; check {KEY_PASSWORD}"
    return "cannot be read: its PEM is damaged; copy all of it, with its first and last line"
