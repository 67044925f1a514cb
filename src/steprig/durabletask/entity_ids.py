"""The ids of entities: `@name@key`."""

from steprig.durabletask.records import EntityId


def parse(entity_id: str) -> EntityId | None:
    """The id with its name in lower case, as the SDK has it; None when it is none that a worker can read."""
    parts = entity_id.split("@")
    if len(parts) != 3 or parts[0] or not parts[1]:
        return None
    return EntityId(f"@{parts[1].lower()}@{parts[2]}")


def name_of(entity_id: EntityId) -> str:
    """The entity's name."""
    return entity_id.split("@")[1]


def folded_prefix(prefix: str) -> str:
    """The beginning of an id as a user may type it, with its name in lower case."""
    if not prefix.startswith("@"):
        return prefix
    name, at, key = prefix[1:].partition("@")
    return f"@{name.lower()}{at}{key}"
