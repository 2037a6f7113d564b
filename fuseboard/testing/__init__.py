"""The kit for tests of Fuseboard, and of functions, sources and strategies that its users write.

Everything here stands in for a part of Fuseboard's surroundings, and behaves like the real part within one process:

==================  ======================================================================================
``policies``        valid policies with the parts that a test is about
``panel``           one breaker and a clock: signals go in, decisions come out (``Panel``, ``opened()`` …)
``memory``          a store and the checkpoints of watches, in memory
``memory_cluster``  a cluster in memory: objects by path, with versions
``outbox``          an outbox and a sink that keep every event
``objects``         Kubernetes objects as the API server returns them
``api_server``      an API server on a real socket, for clients that read and patch
``api_script``      an API server that answers lists and watches by a script
``http_server``     an HTTP server that answers as badly as a test asks for
``strategies``      hypothesis strategies: signals, specs, values for a structural schema
``ports``           free ports
==================  ======================================================================================

A function is tested without HTTP, broker or Redis::

    from fuseboard.testing.memory import MemoryStore
    from fuseboard.testing.policies import policy

    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    store.apply([policy("login")])
    reply = MyFunction(store).handle(event)

``strategies`` needs hypothesis and ``api_server`` needs kmock: ``pip install 'fuseboard[testing]'`` brings both. The
public names of every module are pinned by ``tests/testing/test_names.py``: a name leaves with a line in the changelog.
"""
