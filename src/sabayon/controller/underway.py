"""The sequences and compositions that this controller runs now, by id: who wants to stop one finds it here."""

from __future__ import annotations

from sabayon.controller.composite import Course, Frame


class Underway:
    """Composites at any depth, from their beginning until their response is known."""

    def __init__(self) -> None:
        self._courses: dict[str, tuple[str, Course]] = {}

    def add(self, namespace: str, frame: Frame) -> None:
        """A composite begins to run on behalf of `namespace`."""
        self._courses[frame.activation_id] = namespace, frame.course

    def remove(self, frame: Frame) -> None:
        """It is known how it ends."""
        del self._courses[frame.activation_id]

    def find(self, namespace: str, activation_id: str) -> Course | None:
        """The composite with this id, if it runs and is of `namespace`."""
        owner, course = self._courses.get(activation_id, (None, None))
        return course if owner == namespace else None
