"""Tokens for programs: what they may do, for how long, and how they end."""

from __future__ import annotations

from cio_replicate.database.actor import LOCAL, Role
from tests.web.visiting import Console


def test_a_token_does_no_more_than_its_user_may_by_now(console: Console) -> None:
    """A token of an admin who becomes a viewer is a viewer's, and one of a user who is shut out is nobody's."""
    console.user("another admin", Role.ADMIN)
    user = console.user("mutable", Role.ADMIN)
    program = console.client()
    token = console.services.tokens.create(user, "script", Role.ADMIN, 1, LOCAL)
    program.headers["authorization"] = f"Bearer {token}"
    assert program.get("/api/v1/me").json()["role"] == "admin"
    console.services.people.change_role(user, Role.VIEWER, LOCAL)
    assert program.get("/api/v1/me").json()["role"] == "viewer"
    assert program.get("/api/v1/users").status_code == 403
    console.services.people.disable(user, LOCAL)
    assert program.get("/api/v1/me").status_code == 401


def test_a_token_ends_when_it_was_to_or_is_revoked(console: Console) -> None:
    """A token counts for its days, unless it is revoked; then it counts for nothing."""
    user = console.user("owner of two", Role.OPERATOR)
    first, second = (console.services.tokens.create(user, name, Role.VIEWER, 1, LOCAL) for name in ("one", "two"))
    found = {one.name: one.id for one in console.services.tokens.all(user)}
    assert console.services.tokens.revoke(found["one"], LOCAL)
    assert console.services.tokens.actor(first) is None
    assert console.services.tokens.actor(second) is not None
    console.stage.clock.time += 86_401
    assert console.services.tokens.actor(second) is None


def test_nobody_gives_a_token_more_than_they_have(console: Console) -> None:
    """A viewer's token is a viewer's, whatever the form says."""
    answer = console.visitor(Role.VIEWER).post("/account/tokens", name="mine", role="admin", days="1")
    assert answer.status_code == 403
    assert "Only the role admin may do that" in answer.text


def test_nobody_ends_the_tokens_of_others(console: Console) -> None:
    """On the page of one's account only one's own tokens are ended."""
    other = console.user("other owner", Role.VIEWER)
    token = console.services.tokens.create(other, "theirs", Role.VIEWER, None, LOCAL)
    found = console.services.tokens.all(other)[0].id
    console.visitor(Role.VIEWER).post(f"/account/tokens/{found}/revoke")
    assert console.services.tokens.actor(token) is not None
