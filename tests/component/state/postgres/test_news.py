"""News between servers: hints that usually come, and whose loss is noticed."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest

from component.state.postgres.conftest import WATCH
from support.client import wait_until
from support.logs import captured_logs
from watcher.state.news import Topic
from watcher.state.postgres import news as news_module
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.news import PostgresNews


def gather(engine: PostgresEngine, topic: Topic | None = None) -> list[AbstractSet[int]]:
    """Return a list that grows with the news of a topic."""
    found: list[AbstractSet[int]] = []
    engine.news.subscribe(found.append, topic)
    return found


def await_delivery(*engines: PostgresEngine) -> None:
    wait_until(lambda: all(each.news.is_delivered for each in engines), "news are delivered")


def test_news_come_to_the_others(owner: PostgresEngine, other: PostgresEngine) -> None:
    """By topic; a server has no news for itself."""
    await_delivery(owner, other)
    own, journals, watches = gather(owner), gather(other, Topic.JOURNAL), gather(other)
    owner.news.send([3, 4], Topic.JOURNAL)
    wait_until(lambda: bool(journals), "they come")
    owner.news.send([5])
    wait_until(lambda: {5} in watches, "they come")
    other.news.send([6])
    wait_until(lambda: {6} in own, "they come")
    assert journals == [{3, 4}]
    assert {3, 4} in watches
    assert own == [{6}]


def test_many_news_are_few_notifications(owner: PostgresEngine, other: PostgresEngine) -> None:
    """Their size has a bound."""
    await_delivery(owner, other)
    found = gather(other)
    for number in range(20_000):
        owner.news.send([number])
    wait_until(lambda: len(set[int]().union(*found)) == 20_000, "all have come")
    assert len(found) < 2_000


def test_after_a_loss_of_contact_everything_may_be_news(
    owner: PostgresEngine, other: PostgresEngine, database: Database
) -> None:
    await_delivery(owner, other)
    found = gather(other)
    database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    )
    wait_until(lambda: frozenset() in found, "it listens again")
    await_delivery(owner, other)
    owner.news.send([7])
    wait_until(lambda: {7} in found, "news come again")


def test_news_outlast_the_connection_that_sends_them(
    owner: PostgresEngine, other: PostgresEngine, database: Database
) -> None:
    """Also those by which a server finds out that news are delivered."""
    await_delivery(owner, other)
    found = gather(other)
    owner.news.send([7])
    wait_until(lambda: {7} in found, "the connection is there")
    with captured_logs() as logs:
        database.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify(%')"
        )
        wait_until(lambda: frozenset() in found, "it listens again")
        owner.news.send([8])
        wait_until(lambda: {8} in found, "they come")
        await_delivery(owner, other)
    assert "state.polling" not in [line["event"] for line in logs]


def test_a_pooler_that_swallows_news_is_noticed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is logged once, even if it is noticed only when it is time to try again."""
    monkeypatch.setattr(news_module, "PROBE_S", 0.1)
    monkeypatch.setattr(news_module, "PROBE_AGAIN_S", 0.1)
    notify = news_module._NOTIFY
    monkeypatch.setattr(news_module, "_NOTIFY", b"SELECT $1::text, $2::text")
    news = PostgresNews(parse_url(url), "test")
    with captured_logs() as logs:
        news.start()
        looks: list[AbstractSet[int]] = []
        news.subscribe(looks.append)
        wait_until(lambda: len(looks) > 2, "it is tried again")
        assert not news.is_delivered
        # From now on each try has more time than it takes.
        monkeypatch.setattr(news_module, "PROBE_AGAIN_S", 1.0)
        monkeypatch.setattr(news_module, "_NOTIFY", notify)
        wait_until(lambda: news.is_delivered, "they come now")
        news.stop()
    assert [each["event"] for each in logs] == ["state.polling"]


def test_news_that_cannot_be_sent_stop_nothing(owner: PostgresEngine) -> None:
    news = PostgresNews(parse_url("postgresql://127.0.0.1:1/nowhere"), "test")
    with captured_logs() as logs:
        news.start()
        news.send([1])
        owner.open(WATCH).close()
        news.stop()
    assert not news.is_delivered
    assert not logs
