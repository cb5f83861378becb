"""What can go wrong with a site, in words that name no user, host or password."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

_MYSQL = {
    1044: "this user may not use the database",
    1045: "user and password are not accepted",
    1049: "the database does not exist",
    1142: "this user may not do that with the table",
    1146: "the table does not exist",
    2003: "the site's database cannot be reached",
    2006: "the connection to the site's database was lost",
    2013: "the connection to the site's database was lost",
}


class LabellingError(Exception):
    """The text is for the one who asked for the labelling."""


def explained(error: Exception) -> str:
    """One line about an error. Its own text may quote what it was given."""
    if isinstance(error, UnicodeError):
        return "a text cannot be written in the site's charset; utf8mb4 holds all texts"
    if not isinstance(error, DBAPIError):
        return f"the site's database cannot be worked with ({type(error).__name__})"
    cause = error.orig
    number = cause.args[0] if cause is not None and cause.args else None
    if isinstance(number, int):
        return _MYSQL.get(number, f"the site's database refused (error {number})")
    return f"the site's database refused ({type(cause).__name__})"
