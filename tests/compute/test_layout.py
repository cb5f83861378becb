"""What a container sees, as tables: paths, variables, command, limits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from compute_samples import DID, OTHER_DID, a_job, a_spec, an_environment

from compute import layout
from compute.engines.base import Mount
from compute.layout import JobFolders, command
from compute.models import AlgorithmItem, DatasetItem, Image

ALGO = "/data/transformations/algorithm"
FOLDERS = JobFolders(Path("/srv/data"), "j1")


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("python $ALGO", ("python", ALGO)),
        ("$ALGO", (ALGO,)),
        ("node  $ALGO\t--fast\n", ("node", ALGO, "--fast")),
        ("Rscript '$ALGO'", ("Rscript", ALGO)),
        ('sh -c "python $ALGO > log"', ("sh", "-c", f"python {ALGO} > log")),
        ("run --in=$ALGO", ("run", f"--in={ALGO}")),
        ("run $ALGO $ALGO", ("run", ALGO, ALGO)),
        ("run", ("run",)),
        ("run ''", ("run", "")),
        ("run a\\ b", ("run", "a b")),
        ("run # no comment", ("run", "#", "no", "comment")),
        ("run; rm -rf / && $(id) `id` | cat", (
            "run;", "rm", "-rf", "/", "&&", "$(id)", "`id`", "|", "cat",
        )),
        ("run $HOME ~ *", ("run", "$HOME", "~", "*")),
    ],
)  # fmt: skip
def test_the_entrypoint_is_split_as_a_shell_would_and_given_to_none(
    entrypoint: str, words: tuple[str, ...]
) -> None:
    assert command(entrypoint) == words


@pytest.mark.parametrize("entrypoint", ["", "  \n", "python 'open", 'python "open', "python \\"])
def test_an_entrypoint_that_is_none_is_refused(entrypoint: str) -> None:
    with pytest.raises(ValueError, match=r"empty|quotation|escaped"):
        command(entrypoint)


def test_the_variables_of_both_generations() -> None:
    items = [DatasetItem(did=did, service_id="s") for did in (DID, OTHER_DID, DID)]
    algorithm = AlgorithmItem(did=OTHER_DID, image=Image(image="a"), entrypoint="x")
    job = a_job(spec=a_spec(datasets=tuple(items), algorithm=algorithm))
    assert layout.variables(job, "hush") == {
        "DIDS": json.dumps(["a1" * 32, "b2" * 32]),
        "TRANSFORMATION_DID": "b2" * 32,
        "VOLUME": "/data",
        "BASE_DIR": "/data",
        "INPUTS": "/data/inputs",
        "OUTPUTS": "/data/outputs",
        "LOGS": "/data/logs",
        "HOME": "/tmp",
        "STAGE": "algorithm",
        "secret": "hush",
    }


def test_a_raw_algorithm_has_no_did() -> None:
    assert layout.variables(a_job(), "")["TRANSFORMATION_DID"] == ""


def test_the_mounts_and_who_may_write_where() -> None:
    local = Mount(Path("/srv/files/a.csv"), f"/data/inputs/{'a1' * 32}/0")
    spec = layout.algorithm_container(a_job(id="j1"), an_environment(), FOLDERS, [local], "s")
    shown = {mount.target: (str(mount.source), mount.read_only) for mount in spec.mounts}
    assert shown == {
        "/data/inputs": ("/srv/data/jobs/j1/inputs", True),
        f"/data/inputs/{'a1' * 32}/0": ("/srv/files/a.csv", True),
        "/data/ddos": ("/srv/data/jobs/j1/ddos", True),
        "/data/transformations": ("/srv/data/jobs/j1/transformations", True),
        "/data/outputs": ("/srv/data/jobs/j1/space/outputs", False),
        "/data/logs": ("/srv/data/jobs/j1/space/logs", False),
        "/etc/hosts": ("/srv/data/jobs/j1/hosts", True),
    }
    targets = [mount.target for mount in spec.mounts]
    assert targets.index("/data/inputs") < targets.index(local.target)


def test_a_container_sees_nothing_of_what_is_kept_about_it() -> None:
    spec = layout.algorithm_container(a_job(id="j1"), an_environment(), FOLDERS, [], "s")
    hidden = {FOLDERS.root, FOLDERS.log, FOLDERS.results, FOLDERS.local_files}
    for mount in spec.mounts:
        assert not any(path.is_relative_to(mount.source) for path in hidden)


def test_all_limits_of_the_environment_are_carried_over() -> None:
    user = "1000:1001" if os.geteuid() == 0 else f"{os.geteuid()}:1001"
    environment = an_environment(
        cpu=2.5, ramGB=0.5, diskGB=0.25, gpu={"count": 2}, pids=77, tmpMB=9, maxLogMB=3,
        writableRoot=True, user=user, network="lab",
    )  # fmt: skip
    job = a_job(id="j1", image_id="sha256:1", spec=a_spec(network=True))
    spec = layout.algorithm_container(job, environment, FOLDERS, [], "s")
    assert (spec.name, spec.job_id, spec.image_id) == ("ocean-compute-j1", "j1", "sha256:1")
    assert spec.command == ("run", ALGO)
    assert (spec.cpus, spec.memory_bytes, spec.pids, spec.gpus) == (2.5, 1 << 29, 77, 2)
    assert (spec.tmp_bytes, spec.log_bytes, spec.file_bytes) == (9 << 20, 3 << 20, 1 << 28)
    assert (spec.writable_root, spec.user, spec.network) == (True, user, "lab")


@pytest.mark.parametrize(
    ("environment", "allowed", "network"),
    [("none", True, "none"), ("lab", False, "none"), ("lab", True, "lab"), ("none", False, "none")],
)
def test_a_network_takes_both_the_environment_and_the_job(
    environment: str, allowed: bool, network: str
) -> None:
    job = a_job(spec=a_spec(network=allowed))
    spec = layout.algorithm_container(job, an_environment(network=environment), FOLDERS, [], "s")
    assert spec.network == network
    own_names = [mount for mount in spec.mounts if mount.target == "/etc/hosts"]
    assert bool(own_names) is (network == "none")


def test_a_filter_has_the_outputs_and_the_log_but_neither_network_nor_inputs() -> None:
    environment = an_environment(network="lab", cpu=2, gpu={"count": 1}, filterImage="f")
    job = a_job(id="j1", spec=a_spec(network=True))
    spec = layout.filter_container(job, environment, FOLDERS, "sha256:f")
    assert (spec.name, spec.job_id) == ("ocean-compute-j1-filter", "j1")
    assert (spec.image_id, spec.command, spec.network, spec.gpus) == ("sha256:f", (), "none", 0)
    assert spec.environment["secret"] == ""
    assert {mount.target: mount.read_only for mount in spec.mounts} == {
        "/data/ddos": True,
        "/data/outputs": False,
        "/data/logs": False,
        "/etc/hosts": True,
    }


def test_the_secret_is_in_no_repr() -> None:
    spec = layout.algorithm_container(a_job(), an_environment(), FOLDERS, [], "hush-hush")
    assert "hush-hush" not in repr(spec)


def test_names_of_two_jobs_never_meet() -> None:
    names = {layout.container_name(i) for i in "ab"} | {layout.filter_name(i) for i in "ab"}
    assert len(names) == 4
