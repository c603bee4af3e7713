"""A sweep on a local Ray cluster of two nodes: `make test-ray`, which installs Ray."""

import json
import os

import pytest
from conftest import SMALL_RUN

SMALL = [
    *SMALL_RUN,
    "--export=none",
    "--epochs=2",
    "--grid=learning_rate=0.1,0.01",
    "--grid=seed=0,1,2",
]


@pytest.mark.ray
def test_a_cluster_of_two_nodes_gives_the_numbers_of_one_machine(run_python, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra `ray`")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        on_ray = run_python(
            "-m",
            "train.sweep",
            *SMALL,
            "--engine=ray",
            f"--sweep_dir={tmp_path / 'ray'}",
            timeout=900,
            RAY_ADDRESS=cluster.address,
        )
    finally:
        cluster.shutdown()
    assert on_ray.returncode == 0, on_ray.stderr
    local = run_python(
        "-m", "train.sweep", *SMALL, f"--sweep_dir={tmp_path / 'local'}", timeout=900
    )
    assert local.returncode == 0, local.stderr
    tables = [(tmp_path / engine / "table.csv").read_text() for engine in ("ray", "local")]
    assert tables[0] == tables[1]
    summaries = sorted((tmp_path / "ray").glob("*/summary.json"))
    assert len(summaries) == 6
    for path in summaries:
        other = tmp_path / "local" / path.parent.name / "summary.json"
        assert json.loads(path.read_text())["test"] == json.loads(other.read_text())["test"]
    assert os.listdir(tmp_path / "ray" / "logs")
