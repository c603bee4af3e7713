"""The page: its images, its tables, and what it says of runs that differ."""

import re

from made_runs import analyse

from analysis.paper import tables


def test_the_page_holds_its_images(tmp_path):
    page = (analyse(tmp_path, "--figures=11,12") / "index.html").read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert page.count("data:image/svg+xml;base64,") == 2


def test_a_narrow_screen_shows_all_of_a_single_panel(everything, tmp_path):
    page = (analyse(tmp_path, "--figures=3,9") / "index.html").read_text()
    assert page.count("<figure><img") == 1
    assert page.count('<figure class="wide"><img') == 1
    # The paper's numbers and ours are among the first columns of every table.
    heads = re.findall(r"<thead><tr>(.*?)</tr></thead>", page)
    columns = [re.findall(r"<th>(.*?)</th>", head) for head in heads if "<th>paper</th>" in head]
    assert len(columns) == len(tables.TITLES)
    assert all(head.index("paper") <= 2 and head.index("ours") <= 3 for head in columns)


def test_the_page_says_where_runs_are_not_of_one_scale(make_run, tmp_path):
    make_run("swap", 0.7, width="0.25")
    make_run("other", 0.7, dataset="tiny_imagenet", width="0.5")
    make_run("convention", 0.6, order="convention", width="0.25", learning_rate="0.01")
    assert "not of one scale" not in (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    make_run("better", 0.8, order="convention", width="1.0", epochs="3")
    page = (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    assert "not of one scale: width 1.0, 0.25; epochs 3, 2" in page


def test_the_page_tells_hyper_parameters_that_differ(make_run, tmp_path):
    make_run("swap", 0.7, learning_rate="0.01")
    make_run("convention", 0.6, order="convention", learning_rate="0.1")
    page = (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    told = "These runs differ in learning rate 0.1 (Convention), 0.01 (Swap)."
    # Below the figure, table 2 and the numbers in the text.
    assert page.count(told) == 3
    # Another data set is no comparison.
    make_run("cifar10", 0.6, dataset="cifar10", learning_rate="0.5")
    page = (analyse(tmp_path, "--figures=3") / "index.html").read_text()
    assert page.count(told) == 3
    assert "0.5 (" not in page
