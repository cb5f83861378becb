"""What the registry refuses, and with which answer."""

from __future__ import annotations

from provider.errors import ProviderError
from provider.registry.models import Item, Kind


class UnknownItem(ProviderError):
    """No item of this kind has this UID; ``field`` is where it was named."""

    status = 404

    def __init__(self, kind: Kind, uid: str, *, field: str = "uid") -> None:
        super().__init__(
            f"{field}: there is no {kind.noun} {uid}. Register it first, or correct the UID.",
            field=field,
        )


class ItemExists(ProviderError):
    """The UID is taken."""

    status = 409

    def __init__(self, uid: str) -> None:
        super().__init__(f"uid: {uid} is taken. Leave uid out to be given one.", field="uid")


class ItemInUse(ProviderError):
    """Something needs the item; the text says what, and what to do."""

    status = 409


class ItemPending(ProviderError):
    """The task that makes the item has not finished."""

    status = 409

    def __init__(self, item: Item, *, field: str) -> None:
        super().__init__(
            f"{field}: the {item.kind.noun} {item.uid} has no content yet: task {item.task_uid}"
            " has not finished. Try again when it has.",
            field=field,
        )


class ItemUnusable(ProviderError):
    """The task that was to make the item failed."""

    status = 422

    def __init__(self, item: Item, *, field: str) -> None:
        super().__init__(
            f"{field}: the {item.kind.noun} {item.uid} never got its content: {item.reason}."
            " Take another, or run a task that makes it.",
            field=field,
        )


class ArchiveRefused(ProviderError):
    """An archive that is none, or not safe to unpack; the text names the entry."""

    status = 422

    def __init__(self, problem: str, *, field: str = "file") -> None:
        super().__init__(f"{field}: {problem}", field=field)


class ContentUnavailable(ProviderError):
    """The disk does not take or give a content."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Contents cannot be stored or read at the moment; try again.")
