"""The labelling algorithm on a real SQLite file and a real MariaDB server."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from labeller_run import TASK_ID, Desk, Ended
from labelling_bodies import RUNAWAY, slow_posts
from mariadb import RESULTS, Server
from support.service import free_port

from examples.labelling import posts

OUTPUT = f"ts_page_content_{TASK_ID[:12]}"
EVERY = list(posts.posts())


@dataclass(frozen=True)
class Case:
    """A database with the posts, and how to ask for what was written."""

    desk: Desk
    site: dict[str, Any]
    ask: Callable[[str], Sequence[tuple[Any, ...]]]
    prefix: str

    def run(self, **task: Any) -> Ended:
        return self.desk.run(self.site, **task)

    def written(self, table: str = OUTPUT) -> list[tuple[Any, ...]]:
        columns = "source_id, source_author, label, matched"
        return list(self.ask(f"SELECT {columns} FROM {self.prefix}{table} ORDER BY 1, 3"))


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Case:
    desk = Desk(tmp_path)
    (tmp_path / "inputs").mkdir()
    posts.make_file(tmp_path / "inputs" / "site.sqlite")

    def ask(statement: str) -> Sequence[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(desk.outputs / "audience_result.sqlite")) as opened:
            return opened.execute(statement).fetchall()

    return Case(desk, {"drivername": "sqlite", "db": "site.sqlite"}, ask, "")


@pytest.fixture
def on_mariadb(tmp_path: Path, mariadb: Server) -> Case:
    mariadb.fill("ts_page_content", posts.create_statement(), posts.COLUMNS, EVERY)
    for (table,) in mariadb.ask(f"SHOW TABLES IN {RESULTS}"):
        mariadb.ask(f"DROP TABLE {RESULTS}.`{table}`")
    return Case(Desk(tmp_path), mariadb.site(), mariadb.ask, f"{RESULTS}.")


@pytest.fixture(params=["on_sqlite", "on_mariadb"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "on_mariadb":
        request.applymarker(pytest.mark.docker)
    found: Case = request.getfixturevalue(request.param)
    return found


def expected(labels_of: Callable[[posts.Post], list[tuple[str, str]]]) -> list[tuple[Any, ...]]:
    found = [
        (str(post.id), post.author, label, matched)
        for post in EVERY
        for label, matched in labels_of(post)
    ]
    return sorted(found, key=lambda row: (row[0], row[2]))


def test_keywords(case: Case) -> None:
    def labels(post: posts.Post) -> list[tuple[str, str]]:
        text = post.content.lower()
        found = [
            (label, next((word for word in words if word in text), ""))
            for label, words in posts.KEYWORDS.items()
        ]
        return [each for each in found if each[1]]

    ended = case.run(pattern=posts.KEYWORDS)
    assert ended.code == 0, ended.err
    wanted = expected(labels)
    assert case.written() == wanted
    progress = ended.progress
    assert progress["received"] == len(EVERY)
    assert progress["labelled"] == len(wanted)
    assert progress["authors"] == len({post.author for post in EVERY})
    assert progress["labelled_authors"] == len({row[1] for row in wanted})
    assert progress["tables"] == [OUTPUT]
    assert 10 < progress["peak_memory"] < 200
    assert progress["run_time_s"] > 0
    assert (progress["check_point"], progress["error"]) == (None, None)
    assert len(ended.sample) == 200
    seen = {
        (row["source_id"], row["source_author"], row["label"], row["matched"])
        for row in ended.sample
    }
    assert seen <= set(wanted)
    assert ended.out == f"received {len(EVERY)} rows, labelled {len(wanted)}\n"


def test_rules(case: Case) -> None:
    rule = {
        "and": [
            {"or": [{"prefix": "i like"}, {"suffix": "on the HILL"}]},
            {"not": {"equals": "about bread", "field": "title"}},
            {"contains": "a", "field": "author"},
        ]
    }

    def labels(post: posts.Post) -> list[tuple[str, str]]:
        text = post.content.lower()
        holds = (text.startswith("i like") or text.endswith("on the hill")) and (
            post.title != "About bread"
        )
        return [("hit", "rule 2")] if holds else []

    ended = case.run(model_type="rule_model", pattern={"hit": ["nothing of that kind", rule]})
    assert ended.code == 0, ended.err
    assert case.written() == expected(labels)


def test_expressions(case: Case) -> None:
    def labels(post: posts.Post) -> list[tuple[str, str]]:
        found = re.search(r"author_(1\d)$", post.author)
        return [("teens", found[0])] if found else []

    ended = case.run(
        model_type="regex_model", predict_type="author", pattern={"teens": [r"author_(1\d)$"]}
    )
    assert ended.code == 0, ended.err
    assert case.written() == expected(labels)


def test_the_range_of_dates_excludes_its_end(case: Case) -> None:
    ended = case.run(
        pattern={"all": [" "]}, start_time="2020-03-01", end_time="2020-04-01", batch_rows=7
    )
    wanted = [post for post in EVERY if "2020-03-01" <= post.post_time < "2020-04-01"]
    assert ended.progress["received"] == len(wanted)
    assert {row[0] for row in case.written()} == {str(post.id) for post in wanted}


def test_rows_of_one_moment_are_all_read(case: Case, mariadb_or_file: Callable[..., None]) -> None:
    mariadb_or_file([post._replace(post_time="2020-01-01 00:00:00") for post in EVERY[:50]])
    ended = case.run(pattern={"all": [" "]}, batch_rows=7)
    assert ended.progress["received"] == 50
    assert len(case.written()) == 50


def _with_ids(case: Case, mariadb: Server, kind: str, ids: Sequence[Any]) -> Ended:
    """One moment for all, so that only the ids tell where a batch ends."""
    create = posts.create_statement().replace("INTEGER PRIMARY KEY", kind)
    same = EVERY[0]._replace(content="a latte")
    mariadb.fill("ts_page_content", create, posts.COLUMNS, [same._replace(id=each) for each in ids])
    return case.run(pattern={"all": ["latte"]}, batch_rows=7)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("kind", "ids", "told"),
    [
        ("DOUBLE PRIMARY KEY", [0.1, 1 / 3], "ids and times cannot be floating point numbers"),
        ("INTEGER", [1, 2, 3, 4, 5, 6, 7, 7, 8], "ids have to be unique, several rows share one"),
        ("INTEGER NULL", [None] * 20, "ids have to be unique, several rows share one"),
    ],
)
def test_rows_that_cannot_be_told_apart_are_not_lost_or_repeated(
    on_mariadb: Case, mariadb: Server, kind: str, ids: Sequence[Any], told: str
) -> None:
    ended = _with_ids(on_mariadb, mariadb, kind, ids)
    assert (ended.code, ended.progress["error"]) == (1, told)
    assert ended.progress["received"] == 0


@pytest.mark.docker
def test_a_row_without_an_id_comes_first(on_mariadb: Case, mariadb: Server) -> None:
    ended = _with_ids(on_mariadb, mariadb, "INTEGER NULL", [None, *range(20)])
    assert (ended.code, ended.progress["received"]) == (0, 21)


@pytest.fixture
def mariadb_or_file(case: Case, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Puts other posts into the case's table."""

    def put(listed: list[posts.Post]) -> None:
        if case.prefix:
            server: Server = request.getfixturevalue("mariadb")
            server.fill("ts_page_content", posts.create_statement(), posts.COLUMNS, listed)
            return
        path = case.desk.root / "inputs" / "site.sqlite"
        path.unlink()
        posts.make_file(path, listed)

    return put


def test_nothing_to_label_is_no_failure(case: Case) -> None:
    nothing_there = case.run(pattern={"x": ["x"]}, start_time="1999-01-01", end_time="1999-02-01")
    assert (nothing_there.code, nothing_there.progress["received"]) == (0, 0)
    nothing_fits = case.run(pattern={"x": ["no such word"]})
    assert (nothing_fits.code, nothing_fits.progress["received"]) == (0, len(EVERY))
    assert nothing_fits.progress["labelled"] == 0
    assert nothing_fits.progress["tables"] == []


def test_again_after_a_kill_is_as_once(case: Case, mariadb_or_file: Callable[..., None]) -> None:
    """Killed when some batches are in the output, the next run leaves no row twice."""
    mariadb_or_file(slow_posts())
    case.desk.prepare(case.site, model_type="regex_model", pattern=RUNAWAY, batch_rows=20)
    process = case.desk.start()
    while not case.desk.progress().get("labelled"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert case.written()
    ended = case.run(pattern={"word": ["I like"]}, batch_rows=20)
    assert ended.code == 0, ended.err
    wanted = {str(post.id) for post in slow_posts() if post.content.startswith("I like")}
    assert [row[0] for row in case.written()] == sorted(wanted)
    assert ended.progress["labelled"] == len(wanted)


def test_it_ends_when_asked_to(on_sqlite: Case) -> None:
    path = on_sqlite.desk.root / "inputs" / "site.sqlite"
    path.unlink()
    posts.make_file(path, slow_posts())
    on_sqlite.desk.prepare(on_sqlite.site, model_type="regex_model", pattern=RUNAWAY, batch_rows=20)
    process = on_sqlite.desk.start()
    while not on_sqlite.desk.progress().get("labelled"):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    ended = on_sqlite.desk.wait(process)
    assert ended.code == 143
    assert ended.progress["check_point"].startswith("2020-")
    assert len(on_sqlite.written()) == ended.progress["labelled"]


def test_expressions_that_run_away_are_bounded(on_sqlite: Case) -> None:
    path = on_sqlite.desk.root / "inputs" / "site.sqlite"
    path.unlink()
    posts.make_file(
        path, [post._replace(content="a" * 40 + "!") for post in EVERY[:3]] + EVERY[3:6]
    )
    ended = on_sqlite.run(model_type="regex_model", pattern={"age": ["^(a+)+$", "^(a+)+b"]})
    assert ended.code == 0, ended.err
    assert ended.progress["received"] == 6


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"input_table": "no_such_table"}, "the input table does not exist"),
        ({"predict_type": "colour"}, "the input table has no column colour"),
        ({"time_column": "moment"}, "the input table has no column moment"),
        ({"input_table": "a`b'c\"d; DROP TABLE ts_page_content"}, "the input table does not exist"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(case: Case, task: dict[str, Any], told: str) -> None:
    ended = case.run(pattern={"x": ["x"]}, **task)
    assert (ended.code, ended.err) == (1, f"labelling failed: {told}\n")
    assert ended.progress["error"] == told
    assert case.run(pattern={"x": ["x"]}).code == 0


@pytest.mark.docker
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": "wrong"}, "user and password are not accepted"),
        ({"port": free_port()}, "the site's database cannot be reached"),
        ({"db": "no_such_schema"}, "this user may not use the database"),
        ({"password": "密碼"}, "user and password are not accepted"),
        ({"charset": "nosuch"}, "the charset is not known here; utf8mb4 holds all texts"),
        ({"charset": "binary"}, "the charset is not known here; utf8mb4 holds all texts"),
        (
            {"charset": "latin1", "user": "使用者"},
            "a text cannot be written in the site's charset; utf8mb4 holds all texts",
        ),
    ],
)
def test_a_site_that_cannot_be_used(
    tmp_path: Path, mariadb: Server, changes: dict[str, Any], told: str
) -> None:
    ended = Desk(tmp_path).run(mariadb.site(**changes), pattern={"x": ["x"]})
    assert (ended.code, ended.err) == (1, f"labelling failed: {told}\n")
    assert not any(
        secret in ended.err + ended.out + str(ended.progress)
        for secret in (mariadb.password, mariadb.user, mariadb.host)
    )


@pytest.mark.docker
def test_an_output_schema_that_is_not_there(on_mariadb: Case) -> None:
    ended = on_mariadb.run(pattern={"x": ["e"]}, output_schema="elsewhere")
    assert ended.code == 1
    assert re.fullmatch(r"labelling failed: .*\n", ended.err)


@pytest.mark.docker
def test_names_and_labels_in_any_script(on_mariadb: Case, mariadb: Server) -> None:
    text = "今天 ☕ at the café"
    post = posts.Post(1, "o'Neil; --", 'say "x"', text, "2020-05-05 05:05:05")
    mariadb.fill("ts_page_content", posts.create_statement(), posts.COLUMNS, [post])
    ended = on_mariadb.run(pattern={"飲料 '": ["☕"], "Café": ["CAFÉ"]})
    assert ended.code == 0, ended.err
    assert on_mariadb.written() == [
        ("1", "o'Neil; --", "Café", "café"),
        ("1", "o'Neil; --", "飲料 '", "☕"),
    ]


@pytest.mark.docker
def test_a_password_in_any_script(tmp_path: Path, mariadb: Server) -> None:
    word = "密碼 é"
    mariadb.ask("SET PASSWORD = PASSWORD(%s)", word)
    try:
        ended = Desk(tmp_path).run(mariadb.site(password=word), pattern={"x": ["x"]})
    finally:
        _change_password(mariadb, word)
    assert ended.code == 0, ended.err


def _change_password(server: Server, word: str) -> None:
    """Back to the one that all others use."""
    who = {"host": server.host, "port": server.port, "user": server.user}
    opened = pymysql.connect(**who, password=word.encode())
    with contextlib.closing(opened) as connection, connection.cursor() as cursor:
        cursor.execute("SET PASSWORD = PASSWORD(%s)", (server.password,))
