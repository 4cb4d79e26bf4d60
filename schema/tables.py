"""The tables as SQLAlchemy Core metadata: for administrative queries and as a second telling that a test compares with
the migrated database. The SQL in `migrations` is what makes them, with indexes, storage and the reasons."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData(schema="fleet")


def _required(name: str, type: Any, **options: Any) -> Column[Any]:
    return Column(name, type, nullable=False, **options)


def _key(name: str, type: Any) -> Column[Any]:
    return Column(name, type, primary_key=True)


def _optional(name: str, type: Any) -> Column[Any]:
    return Column(name, type, nullable=True)


_time = DateTime(timezone=True)
_texts = ARRAY(Text)

store = Table(
    "store",
    metadata,
    _key("one", Boolean),
    _required("lineage", Uuid),
    _required("floor", BigInteger),
)
cluster = Table(
    "cluster",
    metadata,
    _key("id", Integer),
    _required("name", Text),
    _optional("uid", Text),
    _required("labels", JSONB),
    _optional("policy", JSONB),
    _required("policy_generation", Integer),
    _required("paused", Boolean),
    _required("removing", Boolean),
    _required("clone", Boolean),
    _optional("clone_uid", Text),
    _required("facts", JSONB),
    _optional("kubeconfig", LargeBinary),
    _required("created", _time),
    _optional("member_seen", _time),
    _optional("agent_seen", _time),
    _required("message", Text),
)
setting = Table("setting", metadata, _key("name", Text), _required("value", JSONB))
credential = Table(
    "credential",
    metadata,
    _key("id", Integer),
    _required("cluster_id", Integer),
    _required("token_hash", LargeBinary),
    _required("created", _time),
    _optional("revoked", _time),
)
token = Table(
    "token",
    metadata,
    _key("id", Integer),
    _required("name", Text),
    _required("token_hash", LargeBinary),
    _required("role", Text),
    _required("clusters", _texts),
    _required("namespaces", _texts),
    _required("kinds", _texts),
    _required("created", _time),
    _optional("expires", _time),
    _optional("revoked", _time),
)
session = Table(
    "session",
    metadata,
    _key("cluster_id", Integer),
    _required("epoch", BigInteger),
    _required("acked", BigInteger),
    _required("instance", Text),
    _required("agent_version", Text),
    _optional("lineage", BigInteger),
    _optional("opened", _time),
    _required("buffered", Integer),
    _required("buffered_bytes", BigInteger),
)
resource_type = Table(
    "resource_type",
    metadata,
    _key("id", Integer),
    _required("api_group", Text),
    _required("version", Text),
    _required("resource", Text),
)
cluster_type = Table(
    "cluster_type",
    metadata,
    _key("cluster_id", Integer),
    _key("type_id", Integer),
    _required("kind", Text),
    _required("namespaced", Boolean),
    _required("definition", JSONB),
    _required("shape", Text),
    _required("resource_version", Text),
    _required("state", Text),
    _required("reason", Text),
    _required("objects", BigInteger),
    _optional("current_at", _time),
    _optional("listed_at", _time),
)
object = Table(
    "object",
    metadata,
    _key("cluster_id", Integer),
    _key("type_id", Integer),
    _key("namespace", Text),
    _key("name", Text),
    _required("uid", Text),
    _required("resource_version", Text),
    _required("cursor", BigInteger),
    _required("fingerprint", BigInteger),
    _required("bucket", SmallInteger),
    _required("lossy", Boolean),
    _optional("created", _time),
    _required("status", Text),
    _required("owners", _texts),
    _required("labels", _texts),
    _required("fields", _texts),
    _required("cells", Text),
    _required("layout", ARRAY(Integer)),
    _required("size", Integer),
    _required("object", JSONB),
    _required("body", LargeBinary),
)
rejected = Table(
    "rejected",
    metadata,
    _key("cluster_id", Integer),
    _key("type_id", Integer),
    _key("namespace", Text),
    _key("name", Text),
    _required("uid", Text),
    _required("fingerprint", BigInteger),
    _required("bucket", SmallInteger),
    _required("reason", Text),
    _required("at", _time),
)
change = Table(
    "change",
    metadata,
    _required("cursor", BigInteger),
    _required("at", _time),
    _required("cluster_id", Integer),
    _required("type_id", Integer),
    _required("op", Text),
    _required("namespace", Text),
    _required("name", Text),
    _required("uid", Text),
    _required("resource_version", Text),
    _required("labels", _texts),
    _required("fields", _texts),
    _optional("labels_before", _texts),
    _optional("fields_before", _texts),
    _optional("created", _time),
    _optional("cells", Text),
    _optional("layout", ARRAY(Integer)),
    _optional("body", LargeBinary),
)
directive = Table(
    "directive",
    metadata,
    _key("id", BigInteger),
    _required("cluster_id", Integer),
    _required("kind", Text),
    _required("args", JSONB),
    _required("created", _time),
    _optional("taken", _time),
    _optional("finished", _time),
    _required("error", Text),
    _optional("result", JSONB),
)
operation = Table(
    "operation",
    metadata,
    _key("id", BigInteger),
    _required("kind", Text),
    _required("actor", Text),
    _optional("cluster_id", Integer),
    _required("args", JSONB),
    _required("phase", Text),
    _required("message", Text),
    _optional("result", JSONB),
    _required("created", _time),
    _optional("finished", _time),
)
