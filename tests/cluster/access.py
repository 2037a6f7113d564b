"""Who may talk to the API server: users with tokens, kubeconfigs, the key for ServiceAccounts."""

import base64
import csv
import io
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

SERVICE_ACCOUNT = "system:serviceaccount:"

# The order of the curve P-256: a private key is any number below it.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class User:
    """One line of the token file."""

    name: str
    groups: tuple[str, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


ADMIN_NAME = "admin"


def admin() -> User:
    """Return a user whom RBAC lets do everything."""
    return User(ADMIN_NAME, ("system:masters",))


def service_account(namespace: str, name: str) -> User:
    """Return a user with the name and the groups of a ServiceAccount; it need not exist."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"{SERVICE_ACCOUNT}{namespace}:{name}", groups)


def user_of(name: str) -> User:
    """Return a user by the name that the API server is to see."""
    if not name.startswith(SERVICE_ACCOUNT):
        return User(name)
    namespace, _, account = name.removeprefix(SERVICE_ACCOUNT).partition(":")
    return service_account(namespace, account)


def write_token_file(path: Path, users: Iterable[User]) -> None:
    """Write what `--token-auth-file` reads: token, name, id, groups."""
    text = io.StringIO()
    rows = ((user.token, user.name, user.name, ",".join(user.groups)) for user in users)
    csv.writer(text).writerows(rows)
    _write_private(path, text.getvalue())


def write_kubeconfig(path: Path, *, server: str, ca: bytes, user: str, token: str) -> None:
    """Write a kubeconfig with one cluster and one user."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fuseboard", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "fuseboard", "context": {"cluster": "fuseboard", "user": user}}],
        "current-context": "fuseboard",
    }
    _write_private(path, yaml.safe_dump(content))


def write_signing_key(path: Path) -> None:
    """Write a new key that signs ServiceAccount tokens: RFC 5915, without the optional parts."""
    secret = 1 + secrets.randbelow(_P256_ORDER - 1)
    curve = bytes.fromhex("a00a06082a8648ce3d030107")
    body = b"\x02\x01\x01" + b"\x04\x20" + secret.to_bytes(32, "big") + curve
    text = base64.encodebytes(b"\x30" + bytes([len(body)]) + body).decode()
    kind = "EC PRIVATE KEY"
    _write_private(path, f"-----BEGIN {kind}-----\n{text}-----END {kind}-----\n")


def _write_private(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)  # whoever reads it now gets the old one or the new one, never a part
