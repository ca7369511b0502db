"""Who does something in the console: a name and a role, and what each role may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cio_replicate.base.errors import NotAllowedError


class Role(StrEnum):
    """What somebody may do, each role all that those before it may."""

    VIEWER = "viewer"  # sees connections, tasks and runs
    OPERATOR = "operator"  # also runs, cancels, pauses, retries, reads again, and looks at rows
    ADMIN = "admin"  # everything

    def covers(self, other: Role) -> bool:
        """Return whether this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as the audit log names it."""

    name: str
    role: Role

    def require(self, role: Role) -> None:
        """Raises NotAllowedError unless this role, or one that may do more, is held."""
        if not self.role.covers(role):
            raise NotAllowedError(f"Only the role {role} may do that; yours is {self.role}.", "Ask an admin.")


#: Who acts on the machine itself, by a command or because a clock says so: whoever starts it may read the database.
LOCAL = Actor("this machine", Role.ADMIN)
