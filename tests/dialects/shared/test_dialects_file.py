"""``dialects.yaml``: each mistake is told with file, field and fix, and no secret is repeated."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from kit_server import ALICE, HASHED, HASHES, TinySettings

from provider.apikeys import Cost, hash_key
from provider.dialects.shared.configured import KINDS, Dialects, load, parse
from provider.dialects.shared.sections import DialectSection
from provider.errors import SettingsInvalid

ENVIRONMENTS = ("lab", "large")


class WideSettings(TinySettings):
    """A dialect that names further environments."""

    queues: Mapping[str, str] = {}

    def named_environments(self) -> Mapping[str, str]:
        return {
            **super().named_environments(),
            **{f"queues.{name}": environment for name, environment in self.queues.items()},
        }


SOME = {"tiny": lambda: TinySettings, "wide": lambda: WideSettings, "other": lambda: TinySettings}


def read(text: str) -> Mapping[str, Any]:
    return parse(dedent(text), "dialects.yaml", ENVIRONMENTS, SOME)


def told(text: str) -> list[str]:
    """The lines that an operator reads, without the file's name."""
    with pytest.raises(SettingsInvalid) as caught:
        read(text)
    lines = caught.value.public.splitlines()
    assert all(line.startswith("dialects.yaml: ") for line in lines)
    return [line.removeprefix("dialects.yaml: ") for line in lines]


def section(fields: str) -> str:
    return "dialects:\n  tiny:\n    environment: lab\n" + indent(dedent(fields), "    ")


def test_a_section_needs_an_environment_and_nothing_else() -> None:
    tiny = read("dialects: {tiny: {environment: lab}}")["tiny"]
    assert tiny == TinySettings(environment="lab")
    assert (tiny.mount, tiny.keys, tiny.open, tiny.max_upload_bytes) == (
        "/tiny",
        {},
        False,
        100 << 20,
    )


def test_a_whole_section_is_read() -> None:
    tiny = read(
        section(f"""\
            mount: /
            open: true
            maxUploadMB: 7
            greeting: good day
            keys:
              alice: {HASHES["alice"]}
              bob: "{HASHES["bob"]}"
            """)
    )["tiny"]
    assert (tiny.mount, tiny.open, tiny.maxUploadMB, tiny.greeting) == ("/", True, 7, "good day")
    assert tiny.keys == HASHED


def test_no_section_is_no_dialect() -> None:
    assert read("dialects: {}") == {}


@pytest.mark.parametrize("mount", ["/", "/a", "/a/b", "/A.b_c~d-1", "/v1/x"])
def test_a_mount_is_a_plain_path(mount: str) -> None:
    assert read(section(f"mount: {mount}"))["tiny"].mount == mount


@pytest.mark.parametrize(
    "mount",
    [
        "",
        "tiny",
        "/tiny/",
        "//",
        "/a//b",
        "/..",
        "/a/../b",
        "/.a",
        "/a b",
        "/{x}",
        "/ä",
        "/%41",
        "/a?b",
        "/a\n",
    ],
)
def test_any_other_mount_is_refused(mount: str) -> None:
    [line] = told(section(f"mount: {mount!r}"))
    assert line == (
        "dialects.tiny.mount: not a plain path; write / for the root, or /name without a slash"
        " at its end"
    )


NO_HASH = (
    "dialects.tiny.keys.alice: not the hash of a key; make one with `ocean-compute api-key new`"
    " or, of a secret that you have already, `ocean-compute api-key hash`"
)
NO_NAME = (
    "dialects.tiny.keys: one of the names is none; write letters, digits, '.', '_' and '-', at"
    " most 64, the first a letter or digit"
)
DEAR = hash_key("some secret", Cost(1 << 15))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            "mont: /x",
            "dialects.tiny.mont: Extra inputs are not permitted; remove it or correct its spelling",
        ),
        ("open: maybe", "dialects.tiny.open: Input should be a valid boolean; write true or false"),
        ("maxUploadMB: 0", "dialects.tiny.maxUploadMB: Input should be greater than or equal to 1"),
        (
            "maxUploadMB: lots",
            "dialects.tiny.maxUploadMB: Input should be a valid integer; write a whole number",
        ),
        (
            "greeting: 7",
            "dialects.tiny.greeting: Input should be a valid string; write a text (in quotes if it"
            " looks like a number)",
        ),
        ("keys: {alice: my secret}", NO_HASH),
        (f"keys: {{alice: {ALICE}}}", NO_HASH),
        ("keys: {alice: 7}", NO_HASH),
        ("keys: {alice: }", NO_HASH),
        (f"keys: {{'a:b': '{HASHES['alice']}'}}", NO_NAME),
        (f"keys: {{'a/b': '{HASHES['alice']}'}}", NO_NAME),
        (f"keys: {{'-': '{HASHES['alice']}'}}", NO_NAME),
        (f"keys: {{7: '{HASHES['alice']}'}}", NO_NAME),
        (f"keys: {{{ALICE}: alice}}", NO_NAME),
        (
            "keys: [x]",
            "dialects.tiny.keys: Input should be a valid dictionary; write fields below it"
            " (name: value)",
        ),
        (
            f"keys: {{alice: '{HASHES['alice']}', bob: '{HASHES['alice']}'}}",
            "dialects.tiny.keys: alice and bob are the same key; make each its own",
        ),
        (
            f"keys: {{alice: '{HASHES['alice']}', bob: '{DEAR}'}}",
            "dialects.tiny.keys: alice and bob are hashed at different costs, so that the time of"
            " an answer would tell them apart; make one of them again",
        ),
        (
            "keys: {alice: 'scrypt$1024$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAA'}",
            "dialects.tiny.keys.alice: scrypt's n must be 16384, 32768 or 65536, r 8, p from 1 to"
            " 4",
        ),
    ],
)
def test_a_mistake_in_a_section_is_told_in_one_line(fields: str, line: str) -> None:
    lines = told(section(fields))
    assert lines == [line]
    assert ALICE not in line
    assert "my secret" not in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the top level must be `dialects:` with sections below it"),
        ("- a", "the top level must be `dialects:` with sections below it"),
        ("dialects: []", "the top level must be `dialects:` with sections below it"),
        ("dialects:", "the top level must be `dialects:` with sections below it"),
        ("dialects: {tiny: }", "dialects.tiny.environment: Field required; add it"),
        (
            "dialects: {tiny: [x]}",
            "dialects.tiny: Input should be a valid dictionary or instance of TinySettings;"
            " write fields below it (name: value)",
        ),
        (
            "dialects: {huge: {environment: lab}}",
            "dialects.huge: is no dialect; write one of tiny, wide, other, or remove it",
        ),
        (
            "dialects: {}\ngbuilder: {}",
            "gbuilder: is no field of this file; remove it or correct its spelling",
        ),
        (
            "dialects: {tiny: {environment: nowhere}}",
            "dialects.tiny.environment: there is no environment 'nowhere'; write one of"
            " environments.yaml: lab, large",
        ),
        (
            "dialects: {wide: {environment: lab, queues: {q2: nowhere}}}",
            "dialects.wide.queues.q2: there is no environment 'nowhere'; write one of"
            " environments.yaml: lab, large",
        ),
        (
            "dialects: {tiny: {environment: lab}, wide: {environment: lab}}",
            "dialects.wide.mount: /tiny is that of tiny; write another",
        ),
        (
            "dialects: {tiny: {environment: lab}, tiny: {environment: lab}}",
            "line 1, column 38: tiny is written twice; correct the YAML there",
        ),
        (
            "dialects: {",
            "line 1, column 12: expected the node content, but found '<stream end>'; correct the"
            " YAML there",
        ),
    ],
)
def test_a_mistake_in_the_file_is_told_in_one_line(text: str, line: str) -> None:
    assert told(text) == [line]


def test_all_mistakes_are_told_at_once() -> None:
    lines = told(
        """\
        extra: 1
        dialects:
          huge: {}
          tiny: {environment: lab, open: 3, maxUploadMB: 0}
          wide: {environment: nowhere, mount: /x}
          other: {environment: lab, mount: /x}
        """
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "extra",
        "dialects.huge",
        "dialects.tiny.open",
        "dialects.tiny.maxUploadMB",
        "dialects.wide.environment",
        "dialects.other.mount",
    ]


def test_several_dialects_may_be_at_the_root() -> None:
    found = read(
        "dialects: {tiny: {environment: lab, mount: /}, wide: {environment: lab, mount: /}}"
    )
    assert list(found) == ["tiny", "wide"]


def test_a_subclass_cannot_lose_the_checks_by_a_default_of_its_own() -> None:
    for settings in (DialectSection, TinySettings, WideSettings):
        with pytest.raises(ValueError, match="plain path"):
            settings.model_validate({"mount": "x", "environment": "lab"})


def test_a_section_shows_nothing_secret() -> None:
    shown = repr(TinySettings(environment="lab", keys=HASHED))
    assert HASHES["alice"].rpartition("$")[2] not in shown
    assert repr(HASHED["alice"].digest) not in shown


# the file itself


def test_without_a_file_no_dialect_is_served() -> None:
    assert load(None, ENVIRONMENTS) == Dialects()
    assert Dialects().sections() == {}


def test_a_file_that_cannot_be_read_is_told_by_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "dialects.yaml"
    for reason in ("No such file or directory", "not UTF-8 text"):
        with pytest.raises(SettingsInvalid) as caught:
            load(path, ENVIRONMENTS)
        assert caught.value.public == (
            f"DIALECTS_FILE: {path}: cannot be read ({reason}); name the file there"
        )
        path.write_bytes(b"\xff")


def test_an_empty_list_of_dialects_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "dialects.yaml"
    path.write_text("dialects: {}\n")
    assert load(path, ENVIRONMENTS) == Dialects()
    path.write_text("dialects: {tiny: {}}\n")
    with pytest.raises(SettingsInvalid, match="write one of gbuilder, pipelines, labelling, aaas"):
        load(path, ENVIRONMENTS)


@pytest.mark.parametrize("name", list(KINDS))
def test_each_dialect_has_a_section_of_its_own_at_a_place_of_its_own(name: str) -> None:
    settings = KINDS[name]()
    assert issubclass(settings, DialectSection)
    assert settings.model_fields["mount"].default == f"/{name}"


def test_a_dialect_that_is_not_served_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "dialects.yaml"
    path.write_text("dialects: {}\n")
    program = f"""
import sys
import provider.dialects.siblings
from pathlib import Path
from provider.dialects.shared.configured import KINDS, load
load(Path({str(path)!r}), ["lab"])
print([name for name in KINDS if f"provider.dialects.{{name}}" in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
