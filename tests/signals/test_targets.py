"""Labels and objects find the breakers that they are about, and no other."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.policy.spec import Policy
from fuseboard.signals.targets import TargetIndex, involved_object
from fuseboard.testing.policies import policy
from tests.real.record import STORM, load

SAFE = "bcdfghjklmnpqrstvwxz2456789"
KSM_POD = "kube-state-metrics-7c9f8d6b5d-x2x4z"

names = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
hashes = st.text(SAFE, min_size=1, max_size=10)
randoms = st.text(SAFE, min_size=5, max_size=5)


def stateful(name: str) -> Policy:
    """Return a policy for a StatefulSet."""
    return policy(name, target={"kind": "StatefulSet", "name": name})


TABLE = TargetIndex(
    [
        policy("login", route={"name": "login-web"}),
        policy("cart"),
        stateful("db"),
        policy("login", "bank"),
        policy("kube-state-metrics", "monitoring", route={"name": "kube-state-metrics"}),
    ]
)


def by_labels(index: TargetIndex, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the breakers that an alert with these labels counts for."""
    about = involved_object(labels)
    return index.matching(about, labels) if about is not None else ()


@pytest.mark.parametrize(
    ("labels", "breaker"),
    [
        ({"namespace": "shop", "deployment": "login"}, "shop/login"),
        ({"namespace": "bank", "deployment": "login"}, "bank/login"),
        ({"namespace": "shop", "statefulset": "db"}, "shop/db"),
        ({"namespace": "shop", "workload": "login", "workload_type": "deployment"}, "shop/login"),
        ({"namespace": "shop", "workload": "db", "workload_type": "statefulset"}, "shop/db"),
        ({"namespace": "shop", "workload": "db", "workload_type": "StatefulSet"}, "shop/db"),
        ({"namespace": "shop", "workload": "db"}, "shop/db"),
        ({"namespace": "shop", "pod": "login-7c9f8d6b5d-x2x4z"}, "shop/login"),
        ({"namespace": "shop", "pod": "db-0"}, "shop/db"),
        ({"namespace": "shop", "pod": "db-12"}, "shop/db"),
        ({"namespace": "shop", "service": "login-web"}, "shop/login"),
        ({"namespace": "shop", "deployment": "", "pod": "db-0"}, "shop/db"),
        ({"namespace": "shop", "deployment": "login", "pod": "cart-7c9f8d6b5d-x2x4z"}, "shop/login"),
        ({"namespace": "shop", "pod": "db-0", "service": "login-web"}, "shop/db"),
        (
            {"namespace": "shop", "pod": "odd", "created_by_kind": "ReplicaSet", "created_by_name": "cart-7c9f8d"},
            "shop/cart",
        ),
        ({"namespace": "shop", "pod": "odd", "owner_kind": "StatefulSet", "owner_name": "db"}, "shop/db"),
    ],
)
def test_these_labels_name_a_target(labels: dict[str, str], breaker: str) -> None:
    """The most specific label that is there decides, within its namespace."""
    assert by_labels(TABLE, labels) == (breaker,)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"deployment": "login"},
        {"namespace": "", "deployment": "login"},
        {"namespace": "other", "deployment": "login"},
        {"namespace": "shop"},
        {"namespace": "shop", "deployment": "other"},
        {"namespace": "shop", "deployment": "db"},
        {"namespace": "shop", "statefulset": "login"},
        {"namespace": "shop", "workload": "login", "workload_type": "daemonset"},
        {"namespace": "shop", "workload": "login-web", "workload_type": "service"},
        {"namespace": "shop", "service": "login"},
        {"namespace": "bank", "service": "login-web"},
        {"namespace": "shop", "node": "10.0.0.7:9100"},
    ],
)
def test_these_labels_name_no_target(labels: dict[str, str]) -> None:
    """Without a namespace, of another kind, or not in the table: no breaker, and no error (A12, A28)."""
    assert by_labels(TABLE, labels) == ()


@pytest.mark.parametrize(
    "labels",
    [
        {"namespace": "shop", "deployment": "login-standby", "service": "login-web"},
        {"namespace": "shop", "pod": "login-standby-7c9f8d6b5d-x2x4z", "service": "login-web"},
        {"namespace": "shop", "job_name": "backup", "pod": "login-7c9f8d6b5d-x2x4z"},
        {"namespace": "shop", "daemonset": "agent", "service": "login-web"},
        {"namespace": "shop", "cronjob": "backup", "pod": "db-0"},
        {
            "namespace": "shop",
            "pod": "login-7c9f8d6b5d-x2x4z",
            "created_by_kind": "Job",
            "created_by_name": "login-7c9f8d6b5d",
        },
        {"namespace": "shop", "pod": "db-0", "created_by_kind": "<none>", "created_by_name": "<none>"},
    ],
)
def test_what_a_label_names_is_not_looked_for_behind_it(labels: dict[str, str]) -> None:
    """A failing standby, job or daemon behind the target's Service is not the target."""
    assert by_labels(TABLE, labels) == ()


@pytest.mark.parametrize(
    ("labels", "breaker"),
    [
        ({"exported_namespace": "shop", "deployment": "login", "pod": KSM_POD}, "shop/login"),
        ({"exported_namespace": "shop", "exported_pod": "db-0", "pod": KSM_POD}, "shop/db"),
        ({"exported_namespace": "bank", "exported_deployment": "login", "deployment": "ksm"}, "bank/login"),
        ({"exported_namespace": "shop", "exported_service": "login-web", "service": "ksm"}, "shop/login"),
    ],
)
def test_exported_labels_win(labels: dict[str, str], breaker: str) -> None:
    """Where kube-state-metrics is scraped without honorLabels, the plain labels are its own (A12)."""
    assert by_labels(TABLE, {"namespace": "monitoring", "job": "kube-state-metrics", **labels}) == (breaker,)


@pytest.mark.parametrize(
    "labels",
    [
        {"node": "n1", "pod": KSM_POD, "service": "kube-state-metrics"},
        {"horizontalpodautoscaler": "login", "pod": KSM_POD},
        {"exported_namespace": "shop", "resourcequota": "small", "pod": "db-0"},
        {"exported_namespace": "shop", "resourcequota": "small", "service": "login-web"},
        {"exported_namespace": "monitoring", "persistentvolume": "a", "pod": "prometheus-0", "service": "x"},
    ],
)
def test_the_exporters_own_pod_is_nobodys_failure(labels: dict[str, str]) -> None:
    """What kube-state-metrics tells of others does not trip a breaker by the labels of its scrape (A12)."""
    assert by_labels(TABLE, {"namespace": "monitoring", "job": "kube-state-metrics", **labels}) == ()


def test_the_exporter_itself_can_be_a_target() -> None:
    """Alerts that name its Deployment, and events of its pods, are about it."""
    labels = {"namespace": "monitoring", "deployment": "kube-state-metrics", "pod": KSM_POD}
    assert by_labels(TABLE, labels) == ("monitoring/kube-state-metrics",)
    assert TABLE.by_object("monitoring", "Pod", KSM_POD) == ("monitoring/kube-state-metrics",)


@pytest.mark.parametrize(
    ("kind", "name", "owners", "breaker"),
    [
        ("Deployment", "login", (), "shop/login"),
        ("StatefulSet", "db", (), "shop/db"),
        ("Service", "login-web", (), "shop/login"),
        ("ReplicaSet", "login-7c9f8d6b5d", (), "shop/login"),
        ("ReplicaSet", "odd", [("Deployment", "cart")], "shop/cart"),
        ("Pod", "login-7c9f8d6b5d-x2x4z", (), "shop/login"),
        ("Pod", "odd", [("ReplicaSet", "cart-7c9f8d"), ("Deployment", "cart")], "shop/cart"),
        ("Pod", "odd", [("Deployment", "cart"), ("ReplicaSet", "login-7c9f8d")], "shop/cart"),
        ("Pod", "odd", [("ReplicaSet", "cart-7c9f8d")], "shop/cart"),
        ("Pod", "login-7c9f8d6b5d-x2x4z", [("StatefulSet", "db")], "shop/db"),
    ],
)
def test_these_objects_belong_to_a_target(kind: str, name: str, owners: list[tuple[str, str]], breaker: str) -> None:
    """An owner that is known wins over what a name looks like."""
    assert TABLE.by_object("shop", kind, name, owners) == (breaker,)


@pytest.mark.parametrize(
    ("kind", "name", "owners"),
    [
        ("DaemonSet", "login", ()),
        ("ReplicaSet", "login", ()),
        ("ReplicaSet", "login-standby-7c9f8d6b5d", ()),
        ("Pod", "login", ()),
        ("Pod", "login-7c9f8d6b5d-x2x4z", [("Job", "login")]),
        ("Pod", "login-7c9f8d6b5d-x2x4z", [("Deployment", "login-standby")]),
        ("Node", "n1", ()),
        ("", "", ()),
    ],
)
def test_these_objects_belong_to_no_target(kind: str, name: str, owners: list[tuple[str, str]]) -> None:
    """A pod whose owner is known to be another is not matched by its name."""
    assert TABLE.by_object("shop", kind, name, owners) == ()


@pytest.mark.parametrize(
    "pod",
    [
        "login-7c9f8d6b5d-00003",  # not Kubernetes' letters
        "login-7c9f8d6b5d-x2x4",
        "login-7c9f8d6b5d-x2x4zz",
        "login-7c9f8d6b5d9-x2x4z",  # a hash of eleven
        "login--x2x4z",
        "login-x2x4z",
        "login-7C9F8D6B5D-x2x4z",
        "xlogin-7c9f8d6b5d-x2x4z",
        "login-0",  # a Deployment has no ordinals
        "db-01",
        "db-x",
        "db-",
        "db-\N{ARABIC-INDIC DIGIT ONE}",
        "db-0\n",
        "db-99999999999",
        "db-7c9f8d6b5d-x2x4z",  # a StatefulSet has no hashes
        "../login-7c9f8d6b5d-x2x4z",
        "login-7c9f8d6b5d-x2x4z" * 100_000,
    ],
)
def test_these_pods_are_not_the_targets(pod: str) -> None:
    """A name that the target's controller would not give belongs to somebody else (A27)."""
    assert by_labels(TABLE, {"namespace": "shop", "pod": pod}) == ()


def test_the_longest_name_wins() -> None:
    """``api-v2-7c9f8`` could be a pod's beginning under ``api``; it is that of ``api-v2``."""
    table = TargetIndex([policy("api"), policy("api-7c9f8"), stateful("api-v2"), policy("api-v2-22222")])
    assert table.by_object("shop", "Pod", "api-7c9f8-6b5d4-x2x4z") == ("shop/api-7c9f8",)
    assert table.by_object("shop", "Pod", "api-7c9f8-x2x4z") == ("shop/api",)
    assert table.by_object("shop", "Pod", "api-v2-22222") == ("shop/api-v2",)
    assert table.by_object("shop", "Pod", "api-v2-22222-7c9f8-x2x4z") == ("shop/api-v2-22222",)


def test_a_name_that_two_could_have_has_no_target() -> None:
    """Two targets whose pods' names are cut to the same are not told apart: neither is tripped by the other's pod."""
    long = "a" * 58
    pod = f"{long}x2x4z"
    assert TargetIndex([policy(f"{long}-one")]).by_object("shop", "Pod", pod) == ("shop/" + f"{long}-one",)
    assert TargetIndex([policy(f"{long}-one"), policy(f"{long}-two")]).by_object("shop", "Pod", pod) == ()


@given(name=names, template=hashes, random=randoms)
def test_every_pod_of_a_deployment_finds_it(name: str, template: str, random: str) -> None:
    """Whatever the name's length, a pod that the apiserver names is found by its name."""
    pod = f"{name}-{template}-"[:58] + random
    assert TargetIndex([policy(name)]).by_object("shop", "Pod", pod) == (f"shop/{name}",)


@given(name=names.filter(lambda name: len(name) < 53), ordinal=st.integers(0, 2**31 - 1))
def test_every_pod_of_a_stateful_set_finds_it(name: str, ordinal: int) -> None:
    """NAME-ORDINAL is a pod of the StatefulSet NAME."""
    assert TargetIndex([stateful(name)]).by_object("shop", "Pod", f"{name}-{ordinal}") == (f"shop/{name}",)


@given(name=names.filter(lambda name: len(name) < 47), other=names, template=hashes, random=randoms)
def test_no_pod_of_another_deployment_is_found(name: str, other: str, template: str, random: str) -> None:
    """A pod of a Deployment that has no breaker is nobody's, as long as its name was not cut."""
    pod = f"{other}-{template}-"[:58] + random
    assert TargetIndex([policy(name)]).by_object("shop", "Pod", pod) == ((f"shop/{name}",) if name == other else ())


@given(st.dictionaries(st.sampled_from([*load("pod_only")["body"]["alerts"][0]["labels"], "workload"]), st.text()))
def test_no_label_is_too_strange(labels: dict[str, str]) -> None:
    """Labels may hold anything; nothing is raised, and nothing is found by chance (A27)."""
    assert by_labels(TABLE, labels) == ()


def test_only_signals_that_match_count() -> None:
    """``signals.match`` of each policy decides, also where two breakers share a target."""
    critical = policy("one", target={"name": "login"}, signals={"match": ['severity="critical"']})
    warning = policy("two", target={"name": "login"}, signals={"match": ['severity=~"warn.*"', 'team!="x"']})
    table = TargetIndex([critical, warning])
    labels = {"namespace": "shop", "deployment": "login"}
    assert by_labels(table, {**labels, "severity": "critical"}) == ("shop/one",)
    assert by_labels(table, {**labels, "severity": "warning"}) == ("shop/two",)
    assert by_labels(table, {**labels, "severity": "warning", "team": "x"}) == ()
    assert by_labels(table, labels) == ()
    assert table.by_object("shop", "Deployment", "login") == ("shop/one", "shop/two")


def test_a_recorded_storm_finds_its_targets() -> None:
    """Fifty pods of five Deployments, as Alertmanager sent them, are found by their names."""
    table = TargetIndex([policy(name) for name in ("login", "cart", "search", "checkout", "db")])
    found = [by_labels(table, alert["labels"]) for alert in load("fifty")["body"]["alerts"]]
    assert len(found) == len(STORM)
    assert {key for keys in found for key in keys} == {f"shop/{alert.labels['container']}" for alert in STORM}
    assert all(len(keys) == 1 for keys in found)
