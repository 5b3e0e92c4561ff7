"""What a proxy would answer to content/prepare, as far as a dry run can know."""

from __future__ import annotations

from rdctl.oio.model import Content, Namespace, Place
from rdctl.oio.objects.layout import scheme_of


def assumed(
    namespace: Namespace, place: Place, size: int, policy: str | None, content_id: str | None
) -> Content:
    """The chunks of an object; without a policy, it has that of the namespace."""
    policy = policy or namespace.options.get("storage_policy") or "SINGLE"
    method = namespace.chunk_method(policy)
    chunk_size = namespace.chunk_size or max(size, 1)
    content = Content(
        container=place.container,
        path=place.name,
        content_id=content_id or "<object ID>",
        version=None,
        size=size,
        hash=None,
        policy=policy,
        mime_type="application/octet-stream",
        chunk_method=method,
        chunk_size=chunk_size,
        created=None,
        modified=None,
        deleted=None,
        properties=None,
        chunks=[],
    )
    scheme = scheme_of(content)
    count = max(1, -(-size // (chunk_size * scheme.needed)))
    chunks = [
        {
            "url": f"http://<rawx>/<chunk {position * scheme.wanted + number}>",
            "pos": f"{position}.{number}" if scheme.k else str(position),
            "size": chunk_size,
        }
        for position in range(count)
        for number in range(scheme.wanted)
    ]
    return content._replace(chunk_method=scheme.method, chunks=chunks)
