"""Which Dockerfiles are built, and what their authors are told about the others."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute import dockerfile
from compute.errors import BuildRefused
from compute.models import Image

DIGEST = "sha256:" + "a" * 64
ANY_CASE = st.booleans()


def all_of(image: Image) -> bool:
    return True


def check(text: str, *allowed: str) -> list[str]:
    """The references that the file names, where only ``allowed`` names are, or all are."""
    allows = (lambda image: image.image in allowed) if allowed else all_of
    return [image.reference for image in dockerfile.check(text, allows)]


def refusal(text: str, *allowed: str) -> str:
    with pytest.raises(BuildRefused) as refused:
        check(text, *allowed)
    return refused.value.public


GOOD = {
    "FROM python:3": ["python:3"],
    "from Python/x:1".lower(): ["python/x:1"],
    "FROM python": ["python:latest"],
    f"FROM python@{DIGEST}": [f"python@{DIGEST}"],
    f"FROM reg.example:5000/a/b:1@{DIGEST}": ["reg.example:5000/a/b:1"],
    "FROM scratch\nCOPY a /\n": [],
    "FROM abc1:1": ["abc1:1"],
    "\n# a comment\n\n  \t FROM x:1\r\nRUN a\r\n": ["x:1"],
    "ARG V=1\nFROM x:1\nARG V\nENV A=$V\n": ["x:1"],
    "FROM x:1 AS one\nFROM One\nCOPY --from=ONE a b\nCOPY --from=0 a b\n": ["x:1"],
    "FROM x:1\nFROM y:1\nFROM x:1\nCOPY --from=1 --chown=1:2 a b\n": ["x:1", "y:1"],
    "FROM x:1\nCOPY --from=z:2 a b\n": ["x:1", "z:2"],
    "FROM x:1\nRUN a \\\n  # between\n\n  && b \\  \n  && c\nRUN d\n": ["x:1"],
    "FROM \\\n  x:1 \\\n  as \\\n  one\n": ["x:1"],
    'FROM x:1\nRUN python -c "print(1 < 2)" <<< a; cat < b > c\n': ["x:1"],
    'FROM x:1\nCOPY ["a b", "c"]\nCMD ["--flag"]\nHEALTHCHECK --retries=3 CMD true\n': ["x:1"],
    "FROM x:1\n# escape=` late is a mere comment\nRUN echo ADD ONBUILD FROM y\n": ["x:1"],
    "FROM x:1\nRUN a\\b 'ça va' # and --mount\n": ["x:1"],
    "FROM x:1\nRUN a\nVOLUME /a\nFROM x:1\nRUN a\n": ["x:1"],
    "FROM x:1\nLABEL a=b\nMAINTAINER me\nSTOPSIGNAL 9\nUSER 1\nVOLUME /a\nEXPOSE 1\n"
    'WORKDIR /\nSHELL ["a"]\nENTRYPOINT a\n': ["x:1"],
}


@pytest.mark.parametrize(("text", "names"), GOOD.items(), ids=range(len(GOOD)))
def test_what_fetches_nothing_is_built(text: str, names: list[str]) -> None:
    assert check(text) == names


REFUSED = {
    "": "no FROM; begin it with FROM",
    "# only this\n": "no FROM",
    "ARG A\n": "no FROM",
    "RUN a\nFROM x:1\n": "line 1: there is no FROM before it",
    "FROM x:1\nADD a b\n": "line 2: ADD may fetch from anywhere; use COPY",
    "FROM x:1\n\n  add http://x /\n": "line 3: ADD",
    "FROM x:1\nA\\\nDD http://x /\n": "line 2: ADD",
    "FROM x:1\nA\\\n# no\n\nDD\\\n http://x /\n": "line 2: ADD",
    "FROM x:1\n\\\nADD http://x /\n": "line 2: ADD",
    "FROM x:1\n\\\n\\\n": "line 2: the instruction ends in a backslash",
    "FROM x:1\nADD\thttp://x /\n": "line 2: ADD",
    "FROM x:1\nADD": "line 2: ADD",
    "FROM x:1\nONBUILD RUN a\n": "line 2: ONBUILD is not built here",
    "FROM x:1\nOnBuild add a b\n": "line 2: ONBUILD",
    "FROM x:1\nFETCH a\n": "line 2: unknown instruction; write one of ARG, CMD",
    "FROM x:1\n// syntax=a\n": "line 2: unknown instruction",
    "FROM x:1\nEXPO\u017fE 1\nADD a b\n": "line 3: ADD",
    "FROM x:1\nONBU\u0130LD ADD a b\n": "line 2: unknown",
    "FROM\n": "line 1: this is not the name of an image",
    "FROM $X\n": "line 1: an image may not be named by a variable",
    "ARG X=y\nFROM y:${X}\n": "line 2: an image may not be named by a variable",
    "FROM x:1 y\n": "line 1: write FROM image, or FROM image AS name",
    "FROM x:1 AS 0\n": "line 1: a stage's name",
    "FROM x:1 AS scratch\nFROM scratch\n": "line 1: a stage's name",
    "FROM --platform=linux/amd64 x:1\n": "line 1: write no flags after FROM",
    "FROM Upper:1\n": "line 1: this is not the name",
    'FROM "x:1"\n': "line 1: this is not the name",
    "FROM x:1@sha256:1\n": "line 1: this is not the name",
    "FROM x:\n": "line 1: this is not the name",
    "FROM a@b@c\n": "line 1: this is not the name",
    # What the engine would take for an id, in full or begun.
    "FROM cafe\n": "line 1: the image's name could be an image id; write its tag",
    "FROM 0\n": "line 1: the image's name could be an image id",
    f"FROM {'a' * 64}\n": "line 1: this is not the name",
    f"FROM {DIGEST}\n": "line 1: this is not the name",
    "FROM x:1\nCOPY --from=cafe a b\n": "line 2: the image's name could be an image id",
    "FROM x:1\nCOPY --from=0 a b\n": "line 2: no stage before this one has that number",
    "FROM x:1\nFROM x:1\nCOPY --from=1 a b\n": "line 3: no stage before",
    "FROM x:1\nCOPY --from=\u0660 a b\n": "line 2: write --chown=value or --from=value",
    "FROM x:1\nCOPY --from=99999999999999999999 a b\n": "line 2: no stage before",
    "FROM x:1\nCOPY --from=$X a b\n": "line 2: write --chown=value or --from=value after COPY",
    "FROM x:1\nCOPY --from='y' a b\n": "line 2: write",
    "FROM x:1\nCOPY --from=\\y a b\n": "line 2: write",
    'FROM x:1\nCOPY --fr"om"=y a b\n': "line 2: write",
    "FROM x:1\nCOPY --from= a b\n": "line 2: this is not the name",
    "FROM x:1\nCOPY --chown=\u00e0--from=y a b\n": "line 2: write",
    "FROM x:1\nCOPY --link a b\n": "line 2: write",
    "FROM x:1\nCOPY -- --from=y a b\n": "line 2: write",
    "FROM x:1\nRUN --mount=type=bind,from=y,target=/y a\n": "line 2: write no flags after RUN",
    "FROM x:1\nRUN --network=host a\n": "line 2: write no flags after RUN",
    "FROM x:1\nRUN \\\n  --security=insecure a\n": "line 2: write no flags after RUN",
    "FROM x:1\nRUN <<EOF\nADD a b\nEOF\n": "line 2: << begins a heredoc",
    "FROM x:1\nRUN cat <<-'EOF' > x\n": "line 2: << begins a heredoc",
    "FROM x:1\nCOPY <<EOF /x\nEOF\n": "line 2: << begins a heredoc",
    "# syntax=docker/dockerfile:1\nFROM x:1\n": "line 1: the directive syntax",
    "#Syntax = a/b\nFROM x:1\n": "line 1: the directive syntax",
    "# a\n\n \t# escape=`\nFROM x:1\n": "line 3: the directive escape",
    "FROM x:1\nRUN a \\\\\nADD b c\n": "line 2: it ends in two backslashes",
    "FROM x:1\nRUN a \\": "line 2: the instruction ends in a backslash",
    "FROM x:1 \\\n\n# end\n": "line 1: the instruction ends in a backslash",
    "\ufeffFROM x:1\n": "line 1: it has the character U+FEFF; remove it",
    "FROM x:1\nRUN a\0b\n": "line 2: it has the character U+0000",
    "FROM x:1\nADD\va b\n": "line 2: it has the character U+000B",
    "FROM x:1\rADD a b\n": "line 1: it has the character U+000D",
    "FROM x:1\r\r\nRUN a\n": "line 1: it has the character U+000D",
    "FROM x:1\n\u00a0ADD a b\n": "line 2: it has the character U+00A0",
    "FROM x:1\n\u2028ADD a b\n": "line 2: it has the character U+2028",
    "FROM x:1\nRUN a \\\n\u0085\nADD a b\n": "line 3: it has the character U+0085",
    "FROM x:1\nLABEL Org.OceanProtocol.compute.job=1\n": "line 2: labels named",
    'FROM x:1\nLABEL a=b org.ocean"protocol".compute.build=1\n': "line 2: labels named",
    "FROM x:1\nLABEL org.ocean\\protocol.compute.build=1\n": "line 2: labels named",
    "FROM x:1\nENV L org\nLABEL ${L}.oceanprotocol.compute.build=1\n": "line 3: a label may not",
    "FROM x:1\nVOLUME /a\nRUN a\n": "line 3: RUN may not follow a VOLUME",
    "FROM x:1 AS one\nVOLUME /a\nFROM One AS b\nFROM b\nRUN a\n": "line 5: RUN may not",
    "FROM x:1\n#" + "x" * (64 << 10): "larger than 64 KiB",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_may_fetch_or_be_misread_is_refused_with_its_line(text: str, words: str) -> None:
    assert words in refusal(text)


def test_only_allowed_images_are_built_on() -> None:
    assert check("FROM good:1", "good") == ["good:1"]
    words = "the image evil:1 is not allowed here; take one that is"
    for line, text in (
        (1, "FROM evil:1"),
        (2, "FROM good:1\nFROM evil:1"),
        (2, "FROM good:1\nCOPY --from=evil:1 a b"),
        (2, "FROM good:1 AS me\nCOPY --from=evil:1 a b"),
    ):
        assert refusal(text, "good") == f"Dockerfile line {line}: {words}"


def test_a_stage_that_has_an_image_s_name_is_that_stage_only_once_it_is_there() -> None:
    assert check("FROM good:1 AS evil\nFROM evil\n", "good") == ["good:1"]
    assert "line 1" in refusal("FROM evil\nFROM good:1 AS evil\n", "good")
    assert "line 2" in refusal("FROM good:1 AS evil\nCOPY --from=evil a b\n", "good")


def test_bytes_that_are_no_text_are_refused() -> None:
    assert dockerfile.decoded("FROM x:1 # é".encode()) == "FROM x:1 # é"
    for data in (b"\xff", b"FROM x\xc3", b"x" * ((64 << 10) + 1)):
        with pytest.raises(BuildRefused, match="The Dockerfile is"):
            dockerfile.decoded(data)


def test_labels_follow_each_from_and_change_nothing_else() -> None:
    text = "ARG A\nFROM \\\n# x\n x:1\nRUN a \\\n  FROM\nfrom scratch"
    labelled = dockerfile.labelled(text, "k", "v")
    assert labelled == (
        "ARG A\nFROM \\\n# x\n x:1\nLABEL k=v\nRUN a \\\n  FROM\nfrom scratch\nLABEL k=v"
    )
    words = [one.word for one in dockerfile.instructions(labelled)]
    assert words == ["ARG", "FROM", "LABEL", "RUN", "FROM", "LABEL"]


GAPS = st.lists(
    st.sampled_from(["\\\n", "\\ \t\n", "\\\n\n", "\\\n# x\n", "\\\n \t# x \\\n"]), max_size=2
)
SPACES = st.text(" \t", max_size=3)
BEFORE = st.lists(
    st.sampled_from(["\n", "# x\n", "RUN a\n", "RUN a \\\n b\n", " \t\n"]), max_size=4
)


@st.composite
def disguised(draw: st.DrawFn, word: str) -> str:
    """The word in any case, cut anywhere, after any white space."""
    letters = [letter.upper() if draw(ANY_CASE) else letter.lower() for letter in word]
    inside = "".join(letter + "".join(draw(GAPS)) for letter in letters[:-1]) + letters[-1]
    return (
        "".join(draw(BEFORE)) + draw(SPACES) + inside + draw(st.sampled_from([" ", "\t", " \\\n "]))
    )


@given(disguised("ADD"), st.text(max_size=20))
def test_no_disguise_lets_add_pass(instruction: str, rest: str) -> None:
    with pytest.raises(BuildRefused):
        check(f"FROM x:1\n{instruction}http://x /{rest}")


@given(disguised("ONBUILD"))
def test_no_disguise_lets_onbuild_pass(instruction: str) -> None:
    with pytest.raises(BuildRefused):
        check(f"FROM x:1\n{instruction}RUN a")


@given(disguised("FROM"), st.sampled_from(["evil", "evil:1", "$evil", "good:$evil", "cafe"]))
def test_no_disguise_lets_another_image_pass(instruction: str, name: str) -> None:
    with pytest.raises(BuildRefused):
        check(f"FROM good:1\n{instruction}{name}\n", "good", "cafe")


@given(st.text(st.sampled_from("ADFROMdfrom \t\\\n\r#=x:1$<'\"-"), max_size=60))
def test_any_text_is_read_or_refused_and_never_adds(text: str) -> None:
    text = f"FROM x:1\n{text}"
    with suppress(BuildRefused):
        check(text)
        found = dockerfile.instructions(text)
        assert all(one.word != "ADD" for one in found)
        again = dockerfile.instructions(dockerfile.labelled(text, "k", "v"))
        assert [one.word for one in again if one.rest != "k=v"] == [one.word for one in found]


@given(st.text(max_size=40))
def test_text_of_any_letters_is_read_or_refused(text: str) -> None:
    for each in (text, f"FROM x:1\nRUN {text}"):
        with suppress(BuildRefused):
            check(each)
