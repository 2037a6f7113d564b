"""What is built: one row per Go module, its versions pinned by go/<name>/go.mod and go.sum."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Text replaced in a vendored source file before it is built."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Row:
    """One Go module: the programs its go.mod names as tools, and folders of YAML taken from it."""

    name: str
    module: str
    programs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    ldflags: str = "-s -w"
    edits: tuple[Edit, ...] = ()


KUBERNETES = Row(
    name="kubernetes",
    module="k8s.io/kubernetes",
    programs=("kube-apiserver", "kube-controller-manager", "kubectl"),
    ldflags="-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3",
)
ETCD = Row(
    name="etcd",
    module="go.etcd.io/etcd/server/v3",
    programs=("server",),  # Go names a program after the last part of its import path
)
KWOK = Row(
    name="kwok",
    module="sigs.k8s.io/kwok",
    programs=("kwok",),
    folders=tuple(
        f"kustomize/stage/{folder}" for folder in ("node/fast", "node/heartbeat", "pod/general", "pod/chaos")
    ),
)

# Knative listens on fixed ports of all interfaces: health on 8080, four programs at once, and the
# dispatcher on the same one. With these edits, where it would listen on :N it listens on the
# address in the variable LISTEN_N, or else on a free port; always on loopback.
_LISTEN = 'cmp.Or(os.Getenv(fmt.Sprintf("LISTEN_%d", {port})), "127.0.0.1:0")'
_KNATIVE_EDITS = (
    Edit(
        "knative.dev/eventing/pkg/kncloudevents/event_receiver.go",
        'fmt.Sprintf(":%d", recv.desiredPort)',
        _LISTEN.format(port="recv.desiredPort"),
    ),
    Edit(
        "knative.dev/eventing/pkg/kncloudevents/event_receiver.go",
        'import (\n\t"context"',
        'import (\n\t"cmp"\n\t"context"\n\t"os"',
    ),
    Edit(
        "knative.dev/pkg/injection/health_check.go",
        '":" + strconv.Itoa(port)',
        _LISTEN.format(port="port"),
    ),
    Edit(
        "knative.dev/pkg/injection/health_check.go",
        '\t"context"\n\t"errors"\n\t"net/http"\n\t"strconv"\n',
        '\t"cmp"\n\t"context"\n\t"errors"\n\t"fmt"\n\t"net/http"\n\t"os"\n',
    ),
    Edit("knative.dev/pkg/observability/runtime/pprof.go", '":" + port', '"127.0.0.1:" + port'),
    Edit(
        "knative.dev/pkg/webhook/webhook.go",
        'fmt.Sprint(":", wh.Options.Port)',
        'fmt.Sprint("127.0.0.1:", wh.Options.Port)',
    ),
)
KNATIVE = Row(
    name="knative-eventing",
    module="knative.dev/eventing",
    programs=(
        "channel_controller",
        "channel_dispatcher",
        "controller",
        "filter",
        "ingress",
        "mtchannel_broker",
        "mtping",
    ),
    folders=(
        "config/core/configmaps",
        "config/core/resources",
        "config/channels/in-memory-channel/configmaps",
        "config/channels/in-memory-channel/resources",
    ),
    edits=_KNATIVE_EDITS,
)

# Only their CRDs are wanted, so that manifests are checked against the real schemas.
SERVING = Row(
    name="knative-serving",
    module="knative.dev/serving",
    folders=("config/core/300-resources",),
)
PROMETHEUS = Row(
    name="prometheus-operator",
    module="github.com/prometheus-operator/prometheus-operator",
    folders=("example/prometheus-operator-crd",),
)
FLUX_KUSTOMIZE = Row(
    name="flux-kustomize-controller",
    module="github.com/fluxcd/kustomize-controller",
    folders=("config/crd/bases",),
)
FLUX_SOURCE = Row(
    name="flux-source-controller",
    module="github.com/fluxcd/source-controller",
    folders=("config/crd/bases",),
)

SCHEMAS = (SERVING, PROMETHEUS, FLUX_KUSTOMIZE, FLUX_SOURCE)
ROWS = (ETCD, KWOK, KNATIVE, KUBERNETES, *SCHEMAS)
