"""A sweep on a local Ray cluster of two nodes: `make test-ray`, which installs Ray."""

import json

import pytest
from conftest import SIX_RUNS
from searches import TWELVE, killed_at, trials_of


@pytest.mark.ray
def test_a_cluster_of_two_nodes_gives_the_numbers_of_one_machine(run_python, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra `ray`")
    command = ["-m", "train.sweep", *SIX_RUNS]
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        nodes = {node.node_id for node in cluster.list_all_nodes()}
        on_ray = run_python(
            *command,
            "--engine=ray",
            f"--sweep_dir={tmp_path / 'ray'}",
            timeout=900,
            RAY_ADDRESS=cluster.address,
        )
    finally:
        cluster.shutdown()
    local = run_python(*command, f"--sweep_dir={tmp_path / 'local'}", timeout=900)
    for sweep in (on_ray, local):
        assert sweep.returncode == 1, sweep.stderr
        assert "test_examples=1000 failed: --test_examples=1000: there are 360" in sweep.stdout
    tables = [(tmp_path / engine / "table.csv").read_text() for engine in ("ray", "local")]
    assert tables[0] == tables[1]
    summaries = sorted((tmp_path / "ray").glob("*/summary.json"))
    assert len(summaries) == 5
    for path in summaries:
        other = tmp_path / "local" / path.parent.name / "summary.json"
        assert json.loads(path.read_text())["test"] == json.loads(other.read_text())["test"]
    logs = [path.read_text() for path in (tmp_path / "ray" / "logs").iterdir()]
    assert {log.splitlines()[0].removeprefix("On Ray's node ") for log in logs} == nodes
    assert len(nodes) == 2


@pytest.mark.ray
def test_a_search_on_a_cluster_killed_twice_ends_like_one_on_one_machine(run_python, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra `ray`")
    on_ray, local = tmp_path / "ray", tmp_path / "local"
    command = [*TWELVE, "--engine=ray", "--workers=2"]
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        nodes = {node.node_id for node in cluster.list_all_nodes()}
        for runs in (3, 7):
            killed_at(command, on_ray, runs, RAY_ADDRESS=cluster.address)
        last = run_python(
            *command, f"--sweep_dir={on_ray}", timeout=1800, RAY_ADDRESS=cluster.address
        )
    finally:
        cluster.shutdown()
    assert last.returncode == 0, last.stderr
    whole = run_python(*TWELVE, "--workers=2", f"--sweep_dir={local}", timeout=1800)
    assert whole.returncode == 0, whole.stderr
    assert trials_of(on_ray) == trials_of(local)
    assert len(trials_of(local)) == 12
    logs = "".join(path.read_text() for path in (on_ray / "logs").iterdir())
    assert {node for node in nodes if f"On Ray's node {node}" in logs} == nodes
