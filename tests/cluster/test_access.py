"""Users, tokens and kubeconfigs."""

import csv
import stat
from pathlib import Path

import pytest
import yaml

from tests.cluster.access import User, admin, user_of, write_kubeconfig, write_token_file


def test_a_service_account_has_the_groups_that_roles_may_name() -> None:
    """The user of a ServiceAccount is in the groups of all accounts and of its namespace."""
    user = user_of("system:serviceaccount:fuseboard:failover")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:fuseboard")


def test_the_token_file_has_a_line_for_each_user(tmp_path: Path) -> None:
    """Each line is token, name, id and the groups in one quoted field."""
    users = [admin(), User("some one", ("a", "b"))]
    write_token_file(tmp_path / "tokens.csv", users)
    with (tmp_path / "tokens.csv").open() as file:
        assert list(csv.reader(file)) == [
            [users[0].token, "admin", "admin", "system:masters"],
            [users[1].token, "some one", "some one", "a,b"],
        ]


def test_tokens_differ_and_are_not_shown() -> None:
    """Two users never share a token, and no log shows one."""
    first, second = User("a"), User("a")
    assert first.token != second.token
    assert first.token not in repr(first)


@pytest.mark.parametrize("existing", [False, True])
def test_a_kubeconfig_is_private(tmp_path: Path, existing: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Only the user may read a kubeconfig, whatever the file's mode was before."""
    path = tmp_path / "kubeconfig"
    if existing:
        path.touch(mode=0o644)
    write_kubeconfig(path, server="https://127.0.0.1:1", ca=b"ca", user="admin", token="t")  # noqa: S106
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    assert yaml.safe_load(path.read_text())["users"] == [{"name": "admin", "user": {"token": "t"}}]
