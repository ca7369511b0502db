"""Every page of the console that has something on it, by a short name."""

from __future__ import annotations

PAGES = {
    "overview": "/",
    "connections": "/connections",
    "connection": "/connections/shop-eu",
    "connection-edit": "/connections/shop-eu/edit",
    "metadata": "/connections/shop-eu/metadata",
    "rows": "/connections/shop-eu/rows?table=campaigns",
    "new-connection": "/new-connection",
    "tasks": "/tasks",
    "task": "/tasks/shop-to-duckdb",
    "task-edit": "/tasks/shop-to-duckdb/edit",
    "verify": "/tasks/shop-to-duckdb/verify",
    "plan": "/tasks/shop-to-duckdb/plan",
    "history": "/tasks/shop-to-duckdb/history",
    "new-task": "/new-task",
    "runs": "/runs",
    "run": "{run}",
    "proof": "{run}/proof",
    "log": "{run}/log",
    "run-failed": "{failed}",
    "gateways": "/gateways",
    "channels": "/channels",
    "secrets": "/secrets",
    "users": "/users",
    "audit": "/audit",
    "account": "/account",
    "about": "/about",
    "not-found": "/no-such-page",
}
