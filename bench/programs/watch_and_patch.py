"""The floor of a failover: watch the Events of a namespace, and patch its Service at each one that comes.

urllib3 and nothing else: no owner is looked up, nothing is weighed, kept, fenced or verified. Where the API server is,
its certificate and the token are in the environment.
"""

from __future__ import annotations

import json
import os
import sys

import urllib3

PATCH = json.dumps({"spec": {"selector": {"role": "standby"}}})


def main() -> None:
    """Watch and patch until ended."""
    server, space = os.environ["BENCH_SERVER"], sys.argv[1]
    head = {"Authorization": f"Bearer {os.environ['BENCH_TOKEN']}"}
    patch = head | {"Content-Type": "application/merge-patch+json"}
    pool = urllib3.PoolManager(ca_certs=os.environ["BENCH_CA"], maxsize=2, retries=False)
    events, service = (f"{server}/api/v1/namespaces/{space}/{what}" for what in ("events?watch=1", "services/login"))
    rest = b""
    for part in pool.request("GET", events, headers=head, preload_content=False).stream():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if json.loads(line)["type"] == "ADDED":
                answer = pool.request("PATCH", service, headers=patch, body=PATCH)
                if answer.status != 200:  # noqa: PLR2004  - HTTP's own number
                    sys.exit(f"{answer.status}: {answer.data!r}")


if __name__ == "__main__":
    main()
