"""What the client libraries have in common, and where they differ."""

from __future__ import annotations

from typing import Any, Protocol


class SyncClient(Protocol):
    """A synchronous client of redis-py or valkey-py, standalone or Cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...

    def pipeline(self, *args: Any, **options: Any) -> Any: ...


class AsyncClient(Protocol):
    """A client for asyncio of redis-py or valkey-py, standalone or Cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...

    def pipeline(self, *args: Any, **options: Any) -> Any: ...


def is_cluster(client: Any) -> bool:
    """Whether it is a client of a Cluster, or a pipeline of one."""
    return any(kind.__name__ in ("RedisCluster", "ValkeyCluster", "ClusterPipeline") for kind in type(client).__mro__)


def is_async(client: Any) -> bool:
    """Whether the client is one for asyncio."""
    return any(".asyncio." in f"{kind.__module__}." for kind in type(client).__mro__)


def decodes(client: Any) -> bool:
    """Whether replies are made text (``decode_responses=True``)."""
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        return bool(pool.connection_kwargs.get("decode_responses"))
    encoder = getattr(client, "encoder", None)
    if encoder is None:
        encoder = client.get_encoder()
    return bool(encoder.decode_responses)


def pipeline_of(client: Any, transaction: bool) -> Any:
    """A pipeline of the client, in a transaction (``MULTI``) or not."""
    if transaction and is_cluster(client):
        try:
            return client.pipeline(transaction=True)
        except Exception as error:
            # valkey-py's, and redis-py's before version 6, raise an exception that says "deprecated".
            raise ValueError(f"this client has no transactions of a Cluster ({error}): use transaction=False") from None
    return client.pipeline(transaction=transaction)
