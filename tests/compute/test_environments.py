"""``environments.yaml``: each mistake is told with file, field and fix."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from compute.engines.base import PullPolicy
from compute.environments import Consumers, Environments, Images, load, parse
from compute.errors import EnvironmentsInvalid, UnknownEnvironment
from compute.models import Image

WALLET = "0x" + "Ab" * 20


def told(text: str) -> list[str]:
    """The lines that an operator reads."""
    with pytest.raises(EnvironmentsInvalid) as caught:
        parse(dedent(text), "environments.yaml")
    return caught.value.public.splitlines()


def one(fields: str) -> str:
    """The single line told of an environment ``lab`` with these fields."""
    lines = told(f"environments:\n  - {{id: lab, {fields}}}\n")
    assert len(lines) == 1, lines
    head, _, rest = lines[0].partition(": ")
    assert head == "environments.yaml"
    return rest


LAB = "environments[0] (lab)"
WHOLE = "Input should be a valid integer; write a whole number"
TEXT = "Input should be a valid string; write a text (in quotes if it looks like a number)"
EXTRA = "Extra inputs are not permitted; remove it or correct its spelling"
FIELDS = (
    "Input should be a valid dictionary or instance of Gpu; write fields below it (name: value)"
)
NETWORK = (
    "an algorithm never shares the host's network; "
    "write none, bridge, or the name of a Docker network of yours"
)
ADDRESS_TEXT = "an Ethereum address is 0x and 40 hexadecimal digits, in quotes"

MISTAKES = [
    ("maxjobs: 3", f"{LAB}.maxjobs: {EXTRA}"),
    ("gpu: {cout: 1}", f"{LAB}.gpu.cout: {EXTRA}"),
    ("maxJobs: many", f"{LAB}.maxJobs: {WHOLE}"),
    ("maxJobs: '3'", f"{LAB}.maxJobs: {WHOLE}"),
    ("maxJobs: 1.5", f"{LAB}.maxJobs: {WHOLE}"),
    ("maxJobs: true", f"{LAB}.maxJobs: {WHOLE}"),
    ("maxJobs: 0", f"{LAB}.maxJobs: Input should be greater than or equal to 1"),
    ("maxJobs: 10001", f"{LAB}.maxJobs: Input should be less than or equal to 10000"),
    ("cpu: a few", f"{LAB}.cpu: Input should be a valid number; write a number"),
    ("cpu: 0", f"{LAB}.cpu: Input should be greater than 0"),
    ("cpu: .nan", f"{LAB}.cpu: Input should be less than or equal to 1024"),
    ("ramGB: .inf", f"{LAB}.ramGB: Input should be less than or equal to 65536"),
    ("description: 7", f"{LAB}.description: {TEXT}"),
    (
        "writableRoot: maybe",
        f"{LAB}.writableRoot: Input should be a valid boolean; write true or false",
    ),
    (
        "images: {pull: sometimes}",
        f"{LAB}.images.pull: Input should be 'missing', 'always' or 'never'",
    ),
    ("images: {allow: python}", f"{LAB}.images.allow: Input should be a valid list; write a list"),
    ("consumers: {allow: [nobody]}", f"{LAB}.consumers.allow[0]: {ADDRESS_TEXT}"),
    ("consumers: {deny: ['0x12']}", f"{LAB}.consumers.deny[0]: {ADDRESS_TEXT}"),
    (f"consumerAddress: '{WALLET}0'", f"{LAB}.consumerAddress: {ADDRESS_TEXT}"),
    (f"consumerAddress: {WALLET}", f"{LAB}.consumerAddress: {TEXT}"),
    ("network: host", f"{LAB}: network: {NETWORK}"),
    ("prices: {8996: {perMinute: 1}}", f"{LAB}.prices[8996].token: Field required; add it"),
    (
        f"prices: {{8996: {{token: '{WALLET}', perMinute: -1}}}}",
        f"{LAB}.prices[8996].perMinute: Input should be greater than or equal to 0",
    ),
    ("gpu: 3", f"{LAB}.gpu: {FIELDS}"),
]


@pytest.mark.parametrize(("fields", "line"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_names_its_field_and_the_fix(fields: str, line: str) -> None:
    assert one(fields) == line


@pytest.mark.parametrize("network", ["'container:x'", "''", "'a b'"])
def test_a_text_of_the_wrong_form_is_told_with_the_form(network: str) -> None:
    line = one(f"network: {network}")
    assert line.startswith(f"{LAB}.network: String should match pattern '^[")


@pytest.mark.parametrize("user", ["root", "'0:0'", "'0:5'", "'5'", "'65534:65534:1'", "'-1:5'"])
def test_a_user_is_two_numbers_and_never_root(user: str) -> None:
    assert one(f"user: {user}") == (
        f'{LAB}.user: write uid:gid as numbers, in quotes, never root: "65534:65534"'
    )


def test_all_mistakes_are_told_at_once() -> None:
    lines = told(
        """
        environments:
          - id: a
            cpu: 0
          - cpu: none
            id: b
          - description: who am I
        """
    )
    assert lines == [
        "environments.yaml: environments[0] (a).cpu: Input should be greater than 0",
        "environments.yaml: environments[1] (b).cpu: "
        "Input should be a valid number; write a number",
        "environments.yaml: environments[2].id: Field required; add it",
    ]


def test_an_id_used_twice() -> None:
    assert told("environments: [{id: a}, {id: b}, {id: a}]") == [
        "environments.yaml: environments: id a is used twice; give each its own"
    ]


def test_a_field_written_twice() -> None:
    (line,) = told("environments:\n  - id: a\n    maxJobs: 1\n    cpu: 1\n    maxJobs: 9\n")
    assert line.startswith("environments.yaml: line 5, column 5: ")
    assert "maxJobs" in line


@pytest.mark.parametrize("text", ["", "just words", "- id: a", "7", "null"])
def test_a_file_without_its_list(text: str) -> None:
    assert told(text) == [
        "environments.yaml: the top level must be `environments:` "
        "followed by a list of environments"
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("environments:", "environments.yaml: environments: Input should be a valid list; "),
        (
            "environments: []",
            "environments.yaml: environments: the list is empty; write at least one environment",
        ),
        ("environments: {a: 1}", "environments.yaml: environments: Input should be a valid list"),
        ("environments: [a]", "environments.yaml: environments[0]: Input should be a valid dict"),
        ("envs: []\nenvironments: [{id: a}]", "environments.yaml: envs: Extra inputs"),
    ],
)
def test_a_list_that_is_none(text: str, start: str) -> None:
    (line,) = told(text)
    assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("environments:\n  - id: [\n", "line 3, column 1"),
        ("environments:\n\t- id: a\n", "line 2, column 1"),
        ("environments:\n - id: a\n  cpu: 1\n", "line 3, column 3"),
        ("a: *nowhere", "line 1, column 4"),
        ("a: !!python/object:os.system x", "line 1, column 4"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, where: str) -> None:
    (line,) = told(text)
    assert line.startswith(f"environments.yaml: {where}: ")
    assert line.endswith("; correct the YAML there")


def test_a_control_character_is_told_too() -> None:
    with pytest.raises(EnvironmentsInvalid, match=r"^e\.yaml: .*; correct the YAML there$"):
        parse("a: \x00", "e.yaml")


@pytest.mark.parametrize("kind", ["missing", "folder", "latin-1"])
def test_a_file_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "environments.yaml"
    if kind == "folder":
        path.mkdir()
    if kind == "latin-1":
        path.write_bytes(b"environments: [{id: a, description: \xe9t\xe9}]")
    with pytest.raises(EnvironmentsInvalid) as caught:
        load(path)
    assert caught.value.public.startswith(f"{path}: cannot be read (")
    assert "ENVIRONMENTS_FILE" in caught.value.public


def test_the_least_that_works_and_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text("environments:\n  - id: lab\n")
    environment = load(path)["lab"]
    assert (environment.cpu, environment.memory_bytes, environment.disk_bytes) == (
        1.0,
        1 << 30,
        1 << 30,
    )
    assert (environment.maxJobs, environment.maxQueue, environment.gpu.count) == (1, 1000, 0)
    assert (environment.maxJobDuration, environment.storageExpiry) == (3600, 604800)
    nobody = "65534:65534" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
    assert (environment.network, environment.user) == ("none", nobody)
    assert environment.writableRoot is False
    assert environment.images.pull is PullPolicy.MISSING
    assert environment.free
    assert environment.filterImage == ""


def test_environments_keep_the_order_of_the_file() -> None:
    environments = parse("environments: [{id: b}, {id: a}, {id: c}]", "e")
    assert list(environments) == ["b", "a", "c"]
    assert len(environments) == 3
    assert "a" in environments
    assert "z" not in environments


def test_an_unknown_environment() -> None:
    environments: Environments = parse("environments: [{id: a}]", "e")
    with pytest.raises(UnknownEnvironment, match="Compute environment does not exist"):
        environments["b"]


@pytest.mark.parametrize("written", ["0.1", "'0.1'", "0.10"])
def test_a_price_is_exact(written: str) -> None:
    text = f"environments: [{{id: a, prices: {{1: {{token: '{WALLET}', perMinute: {written}}}}}}}]"
    environment = parse(text, "e")["a"]
    assert environment.prices[1].perMinute == Decimal("0.1")
    assert environment.prices[1].token == WALLET.lower()
    assert not environment.free


def test_a_price_of_nothing_is_free() -> None:
    text = f"environments: [{{id: a, prices: {{1: {{token: '{WALLET}', perMinute: 0}}}}}}]"
    assert parse(text, "e")["a"].free


@pytest.mark.parametrize(
    ("allow", "deny", "address", "allowed"),
    [
        ([], [], WALLET, True),
        ([WALLET], [], WALLET.lower(), True),
        ([WALLET.lower()], [], WALLET.upper().replace("X", "x"), True),
        (["0x" + "00" * 20], [], WALLET, False),
        ([], [WALLET], WALLET.lower(), False),
        ([WALLET], [WALLET], WALLET, False),
    ],
)
def test_who_may_use_it(allow: list[str], deny: list[str], address: str, allowed: bool) -> None:
    consumers = Consumers.model_validate({"allow": allow, "deny": deny})
    assert consumers.allows(address) is allowed


DIGEST = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("allow", "image", "allowed"),
    [
        (["*"], Image(image="python"), True),
        ([], Image(image="python"), False),
        (["python"], Image(image="python", tag="3.11"), True),
        (["python:3.*"], Image(image="python", tag="3.11"), True),
        (["python:3.*"], Image(image="python", tag="2.7"), False),
        (["python:latest"], Image(image="python"), True),
        ([f"python@{DIGEST}"], Image(image="python", checksum=DIGEST), True),
        ([f"python@{DIGEST}"], Image(image="python", tag="3", checksum=DIGEST), True),
        ([f"python@{DIGEST}"], Image(image="python", tag="3"), False),
        (["Python"], Image(image="python"), False),
        (["lab/*"], Image(image="lab/python", tag="1"), True),
        (["lab/*"], Image(image="labs/python", tag="1"), False),
    ],
)
def test_which_images_may_run(allow: list[str], image: Image, allowed: bool) -> None:
    assert Images.model_validate({"allow": allow}).allows(image) is allowed


@pytest.mark.parametrize(
    ("allow", "name", "allowed"),
    [
        ("*", "127.0.0.1:8080/internal/admin", False),
        ("*", "localhost/x", False),
        ("*", "registry.example.org/team/x", False),
        ("*", "Intranet/x", False),
        ("*/*", "127.0.0.1:8080/internal/admin", False),
        ("*", "lab/x", True),
        ("*", "docker.io/lab/x", True),
        ("*", "index.docker.io/x", True),
        ("python:*", "python:5000/evil", False),
        ("python*", "python:5000/evil", False),
        ("python", "library/python", True),
        ("python", "docker.io/library/python", True),
        ("docker.io/lab/*", "lab/x", True),
        ("library/*", "python", False),
        ("a/*", "library/a/b", False),
        ("registry.example.org/team/*", "registry.example.org/team/x", True),
        ("registry.example.org/*", "docker.io/registry.example.org/x", False),
        ("registry.example.org/team/*", "registry.example.org/other/x", False),
        ("registry.example.org/team/*", "registry.example.org:5000/team/x", False),
        ("registry.example.org/team/*", "registry.example.org.evil.com/team/x", False),
        ("registry.example.org:5000/team/*", "registry.example.org:5000/team/x", True),
        ("team/*", "registry.example.org/team/x", False),
        ("localhost/*", "localhost/x", True),
    ],
)
def test_another_registry_is_allowed_by_its_host_alone(
    allow: str, name: str, allowed: bool
) -> None:
    images = Images.model_validate({"allow": [allow]})
    assert images.allows(Image(image=name, tag="1", checksum=DIGEST)) is allowed


@pytest.mark.parametrize("pattern", ["*.example.org/*", "registry.example.org:*/x", "10.0.?.1/x"])
def test_a_host_with_wildcards_is_a_mistake(pattern: str) -> None:
    assert one(f"images: {{allow: ['{pattern}']}}") == (
        f"{LAB}.images.allow[0]: write the registry's host in full, without wildcards: "
        "registry.example.org/team/*"
    )


@pytest.mark.parametrize(
    ("allow", "tag", "checksum", "must_match"),
    [
        (["team/algo:reviewed"], "reviewed", DIGEST, True),
        (["team/algo:rev*"], "reviewed", DIGEST, True),
        (["*:reviewed"], "reviewed", DIGEST, True),
        (["team/algo:latest"], "", DIGEST, True),
        (["team/algo:reviewed@sha256:*"], "reviewed", DIGEST, True),
        (["team/algo:reviewed"], "reviewed", "", False),
        (["team/algo"], "reviewed", DIGEST, False),
        (["team/algo:*"], "reviewed", DIGEST, False),
        (["team/*"], "reviewed", DIGEST, False),
        (["team/algo:reviewed", "team/*"], "reviewed", DIGEST, False),
        (["team/algo:reviewed", f"team/algo@{DIGEST}"], "reviewed", DIGEST, False),
        ([f"team/algo:reviewed@{DIGEST}"], "reviewed", DIGEST, False),
        (["team/algo:reviewed", "other:*"], "reviewed", DIGEST, True),
    ],
)
def test_a_tag_beside_a_checksum_is_only_a_claim(
    allow: list[str], tag: str, checksum: str, must_match: bool
) -> None:
    images = Images.model_validate({"allow": allow})
    image = Image(image="team/algo", tag=tag, checksum=checksum)
    assert images.allows(image)
    assert images.tag_must_match(image) is must_match


def test_a_tag_pattern_is_not_met_by_a_name_that_hides_a_tag() -> None:
    assert not Images.model_validate({"allow": ["python:3"]}).allows(Image(image="evil/python:3"))


# The machine


def machine_fault(written: str) -> str:
    (line,) = told(f"machine: {written}\nenvironments: [{{id: a}}]\n")
    return line.removeprefix("environments.yaml: ")


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("{cpu: 0}", "machine.cpu: Input should be greater than 0"),
        ("{ramGb: 4}", "machine.ramGb: Extra inputs are not permitted; "),
        ("{keepAfter: -1}", "machine.keepAfter: Input should be greater than or equal to 0"),
        ("{gpu: [a, b, a]}", "machine: gpu: a device is listed twice; list each once"),
        ("[]", "machine: Input should be a valid dictionary or instance of MachineSection"),
    ],
)
def test_a_mistake_about_the_machine(written: str, fault: str) -> None:
    assert machine_fault(written).startswith(fault)


def test_the_machine_is_read() -> None:
    found = parse("machine: {cpu: 4, gpu: [x, y]}\nenvironments: [{id: a}]\n", "name").machine
    assert (found.cpu, found.ramGB, found.gpu_devices, found.keepAfter) == (
        4.0,
        None,
        ("x", "y"),
        60,
    )
    assert parse("machine: {gpu: 2}\nenvironments: [{id: a}]\n", "n").machine.gpu_devices == (
        "0",
        "1",
    )
    assert parse("environments: [{id: a}]\n", "name").machine.gpu_devices == ()
