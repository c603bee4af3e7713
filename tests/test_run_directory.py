import pytest

from train.errors import UsageError
from train.run_directory import FLAGS, SUMMARY, RunDirectory, State

TEXT = "--epochs=3\n--nodeterministic\n--width=0.5\n"


def names_in(path):
    return sorted(entry.name for entry in path.iterdir() if entry.name != ".lock")


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path / "runs" / "one", TEXT)


def test_a_new_run_touches_nothing_before_it_is_created(directory):
    assert directory.state(overwrite=False) is State.NEW
    assert not directory.path.parent.exists()
    directory.create(overwrite=False)
    assert (directory.path / FLAGS).read_text() == TEXT


def test_states_of_a_run(directory):
    directory.create(overwrite=False)
    assert directory.state(overwrite=False) is State.INTERRUPTED
    directory.write_json(SUMMARY, {"epochs": 3})
    assert directory.state(overwrite=False) is State.FINISHED
    assert directory.state(overwrite=True) is State.NEW


def test_other_flags_are_refused_by_name(directory):
    directory.create(overwrite=False)
    other = RunDirectory(directory.path, "--epochs=4\n--deterministic\n--width=0.5\n--seed=1\n")
    with pytest.raises(UsageError) as error:
        other.state(overwrite=False)
    message = str(error.value)
    assert "--epochs (3 there, 4 here)" in message
    assert "--deterministic (off there, on here)" in message
    assert "--seed (not set there, 1 here)" in message
    assert "width" not in message
    assert other.state(overwrite=True) is State.NEW


@pytest.mark.parametrize(("dataset", "same"), [("cifar10", True), ("image_folder", False)])
def test_where_a_data_set_is_kept_makes_no_other_run(dataset, same, tmp_path):
    texts = [f"--dataset={dataset}\n--data_dir={place}\n" for place in ("/a", "/b")]
    (tmp_path / FLAGS).write_text(texts[0])
    other = RunDirectory(tmp_path, texts[1])
    if same:
        assert other.state(overwrite=False) is State.INTERRUPTED
    else:
        with pytest.raises(UsageError, match="data_dir"):
            other.state(overwrite=False)


def test_overwriting_deletes_what_was_there(directory):
    directory.create(overwrite=False)
    (directory.path / "history.csv").write_text("old")
    (directory.path / "saved_model").mkdir()
    directory.create(overwrite=True)
    assert names_in(directory.path) == [FLAGS]


def test_an_overwriting_that_was_cut_short_can_be_repeated(directory, monkeypatch):
    directory.create(overwrite=False)
    for name in (SUMMARY, "model.keras", "history.csv"):
        (directory.path / name).write_text("old")

    def die(entry):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("train.run_directory._delete", die)
        with pytest.raises(KeyboardInterrupt):
            directory.create(overwrite=True)
    assert directory.state(overwrite=False) is State.NEW
    directory.create(overwrite=False)
    assert names_in(directory.path) == [FLAGS]


def test_files_named_like_a_runs_are_not_deleted(tmp_path):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "history.csv").write_text("mine")
    for overwrite in (True, False):
        with pytest.raises(UsageError, match="no part of a run"):
            RunDirectory(tmp_path, TEXT).state(overwrite)


def test_a_second_process_in_the_folder_is_refused(directory, run_python):
    directory.create(overwrite=False)
    code = (
        "from pathlib import Path; from train.run_directory import RunDirectory; "
        f"RunDirectory(Path({str(directory.path)!r}), {TEXT!r}).create(overwrite=True)"
    )
    process = run_python("-c", code)
    assert "is in use by another process" in process.stderr
    assert (directory.path / FLAGS).read_text() == TEXT


def test_a_path_in_which_tensorflow_finds_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has \[ \] in its path"):
        RunDirectory(tmp_path / "lr[1]", TEXT).state(overwrite=False)


def test_the_folder_itself_is_kept(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    directory = RunDirectory(tmp_path / "link", TEXT)
    directory.create(overwrite=False)
    directory.create(overwrite=True)
    assert (tmp_path / "real" / FLAGS).read_text() == TEXT
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("overwrite", [True, False])
def test_files_that_are_no_run_are_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    for name in ("thesis.tex", "flags.txt"):
        with pytest.raises(UsageError, match=r"holds thesis\.tex"):
            RunDirectory(tmp_path, TEXT).state(overwrite=True)
        (tmp_path / name).touch()
    (tmp_path / "flags.txt").unlink()
    with pytest.raises(UsageError, match=r"holds thesis\.tex"):
        RunDirectory(tmp_path, TEXT).state(overwrite)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="link is no folder"):
        RunDirectory(tmp_path / "link", TEXT).state(overwrite)
    for path in (tmp_path / "thesis.tex", tmp_path / "thesis.tex" / "run"):
        with pytest.raises(UsageError, match=r"thesis\.tex is no folder"):
            RunDirectory(path, TEXT).state(overwrite)


def test_what_is_not_finished_is_not_seen(directory):
    directory.create(overwrite=False)
    directory.write_text("history.csv", "old")

    def die_half_way():
        with directory.writing("history.csv") as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_half_way()
    assert (directory.path / "history.csv").read_text() == "old"
    with directory.writing("saved_model") as path:
        path.mkdir()
        (path / "a").write_text("1")
    with directory.writing("saved_model") as path:
        path.mkdir()
    assert list((directory.path / "saved_model").iterdir()) == []
    assert directory.state(overwrite=False) is State.INTERRUPTED
    directory.create(overwrite=False)
    assert names_in(directory.path) == [FLAGS, "history.csv", "saved_model"]


def test_json_is_json_also_of_a_run_that_diverged(directory):
    directory.create(overwrite=False)
    directory.write_json("x.json", {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": "e"}})
    assert directory.read_json("x.json") == {"a": None, "b": [1.5, None], "c": {"d": "e"}}


def test_what_tensorflow_cannot_write_is_one_sentence(tmp_path):
    from train.training.events import Events

    directory = RunDirectory(tmp_path / "run", "--seed=0\n")
    directory.create(overwrite=False)
    # Where there should be a folder.
    (directory.path / "tensorboard").write_text("")
    with pytest.raises(UsageError, match=r"^--run_dir=.*/run: [^\n]*directory\.$"):
        Events(directory).add_epoch({"epoch": 1, "loss": 0.5})
    directory.release()
