"""Signed requests are accepted when the key signed exactly what was asked."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from live_adapter.exchange.signatures import read_key
from live_adapter.sandbox import Exchange, Limits

PATH = "/trade-api/v2/account/limits"
STAMP = "1703123456789"


def written(key: Any, folder: Path) -> Path:
    path = folder / "public.pem"
    shape = PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, shape))
    return path


def headers(key: Any, message: str, stamp: str = STAMP, salt: int = 32) -> dict[str, str]:
    if isinstance(key, rsa.RSAPrivateKey):
        salted = padding.PSS(padding.MGF1(SHA256()), salt)
        signed = key.sign(message.encode(), salted, SHA256())
    else:
        signed = key.sign(message.encode())
    return {
        "KALSHI-ACCESS-KEY": "a-key",
        "KALSHI-ACCESS-TIMESTAMP": stamp,
        "KALSHI-ACCESS-SIGNATURE": b64encode(signed).decode(),
    }


@pytest.fixture(scope="module", params=["rsa", "ed25519"])
def key(request: pytest.FixtureRequest) -> Any:
    if request.param == "rsa":
        return rsa.generate_private_key(65_537, 2_048)
    return ed25519.Ed25519PrivateKey.generate()


def test_only_the_signature_of_timestamp_method_and_path_is_accepted(
    dataset: Store, tmp_path: Path, client: httpx.Client, key: Any
) -> None:
    public = read_key(written(key, tmp_path))
    with Exchange(dataset, key=public, limits=Limits(read=(7, 9))) as exchange:

        def status(given: dict[str, str], path: str = "/account/limits") -> int:
            return client.get(exchange.url + path, headers=given).status_code

        good = headers(key, f"{STAMP}GET{PATH}")
        answer = client.get(f"{exchange.url}/account/limits", headers=good)
        assert answer.json()["read"] == {"refill_rate": 7, "bucket_capacity": 9}
        for wrong in (f"{STAMP}POST{PATH}", f"{STAMP}GET/account/limits", f"1{STAMP}GET{PATH}"):
            assert status(headers(key, wrong)) == 401
        if isinstance(key, rsa.RSAPrivateKey):
            assert status(headers(key, f"{STAMP}GET{PATH}", salt=20)) == 401
        for name in good:
            assert status({n: v for n, v in good.items() if n != name}) == 401
        assert status({**good, "KALSHI-ACCESS-SIGNATURE": "not base64!"}) == 401
        assert status(headers(key, f"xGET{PATH}", stamp="x")) == 401
        assert status({}) == 401
        # Public endpoints work without, are refused with a wrong one, and do not sign the query.
        assert status({}, "/series") == 200
        assert status(good, "/series") == 401
        signed = headers(key, f"{STAMP}GET/trade-api/v2/markets")
        assert status(signed, "/markets?limit=1") == 200


def test_without_a_key_any_signature_will_do(dataset: Store, client: httpx.Client) -> None:
    with Exchange(dataset) as exchange:
        other = headers(ed25519.Ed25519PrivateKey.generate(), "anything")
        limits = client.get(f"{exchange.url}/account/limits", headers=other)
        assert limits.json()["read"] == {"refill_rate": 200, "bucket_capacity": 400}
        assert client.get(f"{exchange.url}/account/limits").status_code == 401


def test_files_that_hold_no_usable_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no public key"):
        read_key(tmp_path / "absent.pem")
    (tmp_path / "text.pem").write_text("key")
    with pytest.raises(UsageError, match="holds no public key"):
        read_key(tmp_path / "text.pem")
    curve = written(ec.generate_private_key(ec.SECP256R1()), tmp_path)
    with pytest.raises(UsageError, match="expected RSA or Ed25519"):
        read_key(curve)
