"""Requests to label that the tests send, and change."""

from __future__ import annotations

from typing import Any

from examples.labelling import posts

PASSWORD = "correct horse battery"


def seed_body(**changes: Any) -> dict[str, Any]:
    """The example of the API's own manual, its places filled in. ``...`` leaves a field out."""
    body = {
        "MODEL_TYPE": "keyword_model",
        "PREDICT_TYPE": "author_name",
        "START_TIME": "2020-01-01",
        "END_TIME": "2021-01-01",
        "PATTERN": {},
        "INPUT_SCHEMA": "wh_tiktok",
        "INPUT_TABLE": "ts_page_content",
        "OUTPUT_SCHEMA": "audience_result",
        "COUNTDOWN": 5,
        "QUEUE": "queue1",
        "SITE_CONFIG": {
            "host": "203.0.113.7",
            "port": 3306,
            "user": "reader",
            "password": PASSWORD,
            "db": "wh_tiktok",
            "charset": "utf8mb4",
        },
    }
    merged = body | changes
    return {name: value for name, value in merged.items() if value is not ...}


def forum_body(**changes: Any) -> dict[str, Any]:
    """Labels the posts of the file that the tests' operator offers."""
    given = {
        "PREDICT_TYPE": "content",
        "PATTERN": posts.KEYWORDS,
        "INPUT_SCHEMA": "forum",
        "COUNTDOWN": 0,
        "SITE_CONFIG": {"drivername": "sqlite", "db": "forum"},
    }
    return seed_body(**(given | changes))


RUNAWAY = {"word": ["^I like"], "age": ["^(a+)+$"]}
"""Labels an ordinary post at once, and takes an age on the slow ones; what a row may take is
bounded, so the slow posts below keep the labelling busy for about 15 seconds."""


def slow_posts() -> list[posts.Post]:
    """First a hundred ordinary posts, then sixty on which an expression runs away."""
    ordinary = list(posts.posts(100))
    moment = ordinary[-1].post_time
    text = "a" * 40 + "!"
    return ordinary + [posts.Post(101 + n, "slow", "slow", text, moment) for n in range(60)]
