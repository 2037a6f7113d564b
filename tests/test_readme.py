"""What the README says can be pasted works."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from msgspec import Struct, structs

from fuseboard.policy.files import load_table
from fuseboard.policy.spec import Criticality, Recover, Signals, Spec, Trip, Workload
from tests.cli.program import FUSEBOARD
from tests.cli.running import Up
from tests.paths import EXAMPLE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """Return the README's code blocks of a kind."""
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def pasted(block: str, up: Up) -> str:
    """Paste a block into a shell, with this test's port instead of 8080; return what it shows."""
    text = block.replace("localhost:8080", f"127.0.0.1:{up.port}").replace("sleep 35", "sleep 5")
    text = re.sub(r"\.venv/bin/fuseboard (.*)$", rf"{FUSEBOARD} \1 --url {up.url}", text, flags=re.MULTILINE)
    done = subprocess.run(  # noqa: S603  - the README's own commands
        ["/bin/bash", "-euo", "pipefail", "-c", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "160"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tour_is_what_it_says(tmp_path: Path) -> None:
    """Pasted as it stands, the tour limits, opens, shows the rehearsal, and closes."""
    (tour,) = (block for block in blocks("sh") if "warning.json" in block)
    (policy,) = yaml.safe_load_all((EXAMPLE / "breakers.yaml").read_text(encoding="utf-8"))
    policy["spec"]["recover"] = {"coolDown": "2s", "healthyFor": "1s"}
    with Up(tmp_path, policy) as up:
        shown = pasted(tour, up)

        assert [state for state in ("LIMITED", "OPEN", "CLOSED") if state in shown] == ["LIMITED", "OPEN", "CLOSED"]
        assert shown.count("202 ACCEPTED") == 3
        assert '"rehearsed": true' in shown
        assert "shop/login is OPEN since" in shown
        assert "would patch" in up.console()


def test_a_function_alone_is_what_it_says(tmp_path: Path) -> None:
    """The curl for one function gets 200 and the event that it replies."""
    (alone,) = (block for block in blocks("sh") if "/functions/breaker" in block)
    with Up(tmp_path) as up:
        assert "ce-type: dev.fuseboard.breaker.opened" in pasted(alone, up).lower()


def test_the_example_is_a_breaker_table() -> None:
    """The file of `make up` loads."""
    (policy,) = load_table(EXAMPLE / "breakers.yaml")

    assert policy.key == "shop/login"


def test_the_defaults_are_those_of_the_code() -> None:
    """The table of the README names the defaults that the schema has."""
    rows = {
        cells[1].strip(): cells[2].strip()
        for cells in (line.split("|") for line in README.splitlines())
        if len(cells) > 3
    }

    assert rows["`trip.window`"] == f"`{Trip().window}`"
    assert rows["`trip.limitAt`, `trip.openAt`"] == f"{Trip().limit_at}, {Trip().open_at}"
    assert rows["`recover.coolDown`, `maxCoolDown`"] == f"`{Recover().cool_down}`, `{Recover().max_cool_down}`"
    assert rows["`recover.healthyFor`"] == f"`{Recover().healthy_for}`"
    assert rows["`recover.maxTrial`"] == f"`{Recover().max_trial}`"
    assert rows["`signals.repeatInterval`"] == f"`{Signals().repeat_interval}`"


@pytest.mark.parametrize("part", [Spec, Workload, Signals, Trip, Criticality, Recover])
def test_the_table_has_every_field(part: type[Struct]) -> None:
    """Whatever may be written in a breaker has a line in the README."""
    section = README.partition("## The breaker table")[2].partition("\n## ")[0]
    named = set(
        re.findall(r"`(?:\w+\.)?(\w+)`", " ".join(line.split("|")[1] for line in section.splitlines() if "|" in line))
    )
    parts = set(re.findall(r"`(\w+)\.", section))

    assert {each.encode_name for each in structs.fields(part)} - {"kind", "name"} <= named | parts


def test_alertmanagers_configuration_is_yaml_with_our_path() -> None:
    """The receiver of the README posts to the path that is served."""
    (block,) = (block for block in blocks("yaml") if "webhook_configs" in block)

    assert yaml.safe_load(block)["receivers"][0]["webhook_configs"][0]["url"].endswith("/alertmanager")
