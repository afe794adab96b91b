"""``fovflow report``."""

from __future__ import annotations

from fovflow.cli import main


def test_the_page_of_an_output_folder_is_made_by_hand(folder, capsys):
    folder.add("a")
    folder.add("b")
    assert main(["report", str(folder.path)]) == 0
    page = folder.path / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert '<section id="dataset-1" class="dataset"><h2>b</h2>' in text
    assert folder.write() == text


def test_the_page_of_one_dataset(folder, tmp_path):
    folder.add("a")
    folder.add("b")
    page = tmp_path / "b only.html"
    assert main(["report", str(folder.path / "b"), "--out", str(page)]) == 0
    assert "<title>b · fovflow report</title>" in page.read_text(encoding="utf-8")
    assert not (folder.path / "report.html").exists()


def test_the_configurations_folder_is_the_default(folder, tmp_path, monkeypatch, capsys):
    folder.add("a")
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 0
    config = tmp_path / "config.yaml"
    config.write_text("outdir: elsewhere\ndatasets: {a: {path: a.nd2}}\n")
    assert main(["report", "--configfile", str(config)]) == 1
    assert "elsewhere holds no results" in capsys.readouterr().err
