"""Where the console is reached, how often one may try, how dates read: what is decided without a request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.console.web import rendering
from cio_replicate.console.web.application import listening
from cio_replicate.console.web.http_security import LoginThrottle, host_of, site
from tests.console.stage import STORES, Stage, stage


def test_on_loopback_it_answers_to_this_machine_alone() -> None:
    """Without options it is this machine's, by each of its names."""
    here = site("127.0.0.1", 8765, None, (), tls=False)
    assert (here.url, here.secure, here.session_cookie) == ("http://127.0.0.1:8765", False, "cio-session")
    assert here.hosts == {"127.0.0.1", "localhost", "::1"}


def test_behind_a_proxy_it_answers_to_the_name_for_people() -> None:
    """The address for people says which host it is and that cookies need TLS."""
    here = site("0.0.0.0", 8765, "https://console.example.com/", ("second.example.com",), tls=False)
    assert (here.url, here.secure, here.session_cookie) == ("https://console.example.com", True, "__Host-cio-session")
    assert here.hosts == {"console.example.com", "second.example.com"}


@pytest.mark.parametrize("proxy", ["proxy.internal", "*", "", "10.0.0.5/8"])
def test_a_proxy_is_known_by_its_address(proxy: str) -> None:
    """A name would never be recognised, and anybody could say who they are if all were believed."""
    with pytest.raises(InvalidSettings, match="is no address"):
        listening("127.0.0.1", 0, None, None, proxy)
    listening("127.0.0.1", 0, None, None, "10.0.0.5, fd00::/8").server.close()


@pytest.mark.parametrize(
    ("host", "url", "allowed", "said"),
    [
        ("0.0.0.0", None, (), "without encryption"),
        ("::", None, (), "without encryption"),
        ("127.0.0.1", "http://console.example.com", (), "unprotected"),
        ("127.0.0.1", "https://console.example.com/under/a/path", (), "has a path"),
        ("127.0.0.1", "console.example.com", (), "is no address"),
        ("127.0.0.1", "https://user:secret@console.example.com", (), "is no address"),
        ("127.0.0.1", "https://[", (), "is no address"),
        ("127.0.0.1", None, ("not a host/",), "is no host"),
    ],
)
def test_what_would_be_unsafe_is_refused(host: str, url: str | None, allowed: tuple[str, ...], said: str) -> None:
    """Nobody is served in a way in which passwords could be read along, or under an address that is none."""
    with pytest.raises(InvalidSettings, match=said):
        site(host, 8765, url, allowed, tls=False)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("A.Example:80", "a.example"),
        ("[::1]:8765", "::1"),
        ("a.example.", "a.example"),
        ("", ""),
        ("[", ""),
        ("a\x00", ""),
    ],
)
def test_the_name_of_a_host_is_read_without_its_port(header: str, name: str) -> None:
    """Capitals, ports and a last dot make no difference, and nonsense is no name."""
    assert host_of(header) == name


@pytest.mark.parametrize("kind", STORES)
def test_tries_come_back_one_by_one(kind: str, tmp_path: Path) -> None:
    """A few at once, then one per pause; another key is not held up by them, nor a key of another sort."""
    with stage(kind, tmp_path) as made:
        _try_one_by_one(made)


def _try_one_by_one(made: Stage) -> None:
    clock = made.clock
    throttle = LoginThrottle(made.database, clock, "name", 3, 10.0)
    other = LoginThrottle(made.database, clock, "address", 3, 10.0)
    assert [throttle.wait("ada") for _ in range(4)] == [0, 0, 0, 10.0]
    assert throttle.wait("eve") == other.wait("ada") == 0
    clock.time += 10
    assert [throttle.wait("ada") for _ in range(2)] == [0, 10.0]
    throttle.give_back("ada")
    assert throttle.wait("ada") == 0
    throttle.forget("ada")
    assert [throttle.wait("ada") for _ in range(4)] == [0, 0, 0, 10.0]


def test_only_so_many_keys_are_kept(tmp_path: Path) -> None:
    """The table is bounded, whoever tries whatever names."""
    with stage("sqlite", tmp_path) as made:
        throttle = LoginThrottle(made.database, made.clock, "name", 1, 10.0, most=50)
        for number in range(60):
            throttle.wait(str(number))
            made.clock.time += 0.001
        assert throttle.wait("0") == 0
        assert throttle.wait("59") == pytest.approx(9.999)


@pytest.mark.parametrize("kind", STORES)
def test_tries_count_over_all_consoles(kind: str, tmp_path: Path) -> None:
    """Who tries here and there gets no more tries than here alone, also at the same moment."""
    with stage(kind, tmp_path) as made:
        consoles = [LoginThrottle(made.another(), made.clock, "name", 6, 10.0) for _ in range(3)]
        assert [one.wait("ada") for one in (*consoles, consoles[0])] == [0, 0, 0, 0]
        with ThreadPoolExecutor(6) as pool:
            waits = list(pool.map(lambda number: consoles[number % 3].wait("ada"), range(6)))
        assert sorted(waits) == [0, 0, 10, 10, 10, 10]
        consoles[1].forget("ada")
        assert consoles[2].wait("ada") == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (4.26, "4.3 s"),
        (59, "59 s"),
        (65, "1 min 05 s"),
        (3_900, "1 h 05 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_lengths_of_time_read_well(seconds: float | None, text: str) -> None:
    """In the two largest units, or tenths of a second for what is short."""
    assert rendering.span(seconds) == text


def test_a_moment_is_shown_in_a_zone_and_told_exactly() -> None:
    """What a person reads is their own clock; what a program reads is UTC."""
    shown = str(rendering.moment(1_767_225_600, "Europe/Berlin"))
    assert 'datetime="2026-01-01T00:00:00Z"' in shown
    assert "1 January 2026, 01:00" in shown
    assert "1 January 2026, 00:00" in str(rendering.moment(1_767_225_600, "Not/AZone"))
