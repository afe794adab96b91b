"""What is secret stands in no record."""

from __future__ import annotations

import json
import logging
import re
import shlex
from urllib.parse import quote, urlencode

import pytest
from runs.recorded import CONFIG, DATASET, ENGINE

from fovflow import Run, events, execution
from fovflow.adapter.job import open_log
from fovflow.adapter.recording import _without
from fovflow.config import parse_config
from fovflow.events import SECRET, keep_secret, plain_values, writable
from fovflow.records import json_text, public, write_yaml
from fovflow.runs.manifest import write_manifest
from fovflow.runs.publish import publish
from fovflow.runs.restore import relocated, restoration
from paths import ROOT

ALERT = {
    "name": "a", "metric": "x", "rule": "is above", "threshold": 1, "notification": ["command"],
    "command": ["curl", "-H", "Authorization: SEKRET"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch):
    monkeypatch.setattr(events, "_secret_keys", set())
    monkeypatch.setattr(events, "_secret_texts", set())


def texts_of(folder):
    return "".join(p.read_text("utf-8", "replace") for p in folder.rglob("*") if p.is_file())


def test_arguments_of_commands_are_in_no_manifest_and_no_published_copy(recorded, tmp_path):
    config = {**CONFIG, "run": {**CONFIG["run"], "alerts": [ALERT]}}
    write_manifest(recorded.outdir, DATASET, config, ROOT, ENGINE)
    publish(recorded.run, str(tmp_path / "to"))
    for folder in (recorded.outdir, tmp_path / "to"):
        assert "SEKRET" not in texts_of(folder)
        assert '"curl"' in texts_of(folder)
        assert "mail.example.org" not in (folder / DATASET / "provenance/config.json").read_text()


def test_one_function_makes_every_configuration_public():
    shown = public({"run": {"alerts": [ALERT], "smtp": {"user": "me"}, "name": "x"}, "fovs": "0"})
    command = {**ALERT, "command": ["curl"]}
    assert shown == {"run": {"alerts": [command], "name": "x"}, "fovs": "0"}
    assert public({}) == {"run": {}}


def test_keys_that_the_user_names_are_secret_everywhere(recorded, tmp_path):
    segment = {"method": "logstd", "n_sigma": 4}
    steps = [{"name": "s", "script": "s.py", "params": {"api_key": "hush-hush", "n": 1}}]
    given = {"datasets": {"a": {"path": "a.nd2"}}, "run": {"secret": "api_key, pin"}}
    with pytest.raises(Exception, match="steps"):
        parse_config({**given, "segment": segment, "steps": steps, "nonsense": 1})
    keep_secret("api_key, pin", {"options": {"api_key": "hush-hush", "pin": 12}})
    assert plain_values({"pin": 12, "x": [{"api_key": "hush-hush"}], "none": {"pin": None}}) == {
        "pin": SECRET, "x": [{"api_key": SECRET}], "none": {"pin": None},
    }  # fmt: skip
    assert "hush" not in json_text({"a": "got hush-hush", "api_key": "hush-hush"})
    write_yaml(tmp_path / "a.yaml", {"params": {"api_key": "hush-hush", "error": "hush-hush?"}})
    assert (tmp_path / "a.yaml").read_text().count(SECRET) == 2
    run = Run(outdir=tmp_path / "o")
    run.init("x", metadata={"pin": 12, "note": "key hush-hush"}, tags=["hush-hush"])
    run.log_event("401 for hush-hush")
    run.update_metadata({"api_key": "hush-hush"})
    run.close()
    assert "hush-hush" not in texts_of(tmp_path / "o")
    open_log(tmp_path / "job.log")
    logging.getLogger("fovflow").error("no access with hush-hush")
    logging.basicConfig(force=True)
    logging.captureWarnings(capture=False)
    assert f"no access with {SECRET}" in (tmp_path / "job.log").read_text()


def test_the_configuration_says_what_is_secret():
    parse_config(
        {
            "datasets": {"a": {"path": "a.nd2"}},
            "run": {"secret": ["token"], "metadata": {"token": "hush-hush", "x": "1"}},
        }
    )
    assert writable("got hush-hush") == f"got {SECRET}"
    assert plain_values({"token": 5}) == {"token": SECRET}


def test_an_execution_keeps_secrets(tmp_path):
    keys = {"outdir": str(tmp_path), "secret": ["token"], "parameters": {"token": "hush-hush"}}
    with execution(**keys) as exe:
        exe.run.log_event("got hush-hush")
    record = json.loads((exe.folder / "run.json").read_text())
    assert record["parameters"] == {"token": SECRET}
    assert "hush-hush" not in texts_of(tmp_path)


def test_credentials_in_addresses_are_in_no_record(tmp_path):
    address = "https://me:hush-hush@example.org/a?b=1"
    keys = {"outdir": tmp_path, "parameters": {"from": address}, "metadata": {"from": address}}
    with execution(**keys, tags=[address], description=f"of {address}") as exe:
        exe.run.log_event(f"GET {address}: 404")
        exe.run.add_process("get", ["true", address])
    assert "hush-hush" not in texts_of(tmp_path)
    assert f"https://{SECRET}@example.org/a?b=1" in texts_of(tmp_path)
    for text in ("ssh://git@example.org/a", "https://example.org/@me", "me@example.org"):
        assert writable(text) == text


def test_who_is_told_of_an_end_is_told_no_secret(tmp_path):
    keep_secret(["token"], {"token": "hush-hush"})
    told = tmp_path / "told.jsonl"
    with pytest.raises(RuntimeError), Run(outdir=tmp_path / "o") as run:
        run.init()
        run.add_alert("ended", source="end", notification="file", file=told)
        raise RuntimeError("401 for hush-hush")
    assert json.loads(told.read_text())["message"] == f"failed: RuntimeError: 401 for {SECRET}"


def test_what_a_command_line_gives_is_taken_out_of_it():
    assert _without(["-H", "Authorization: SEKRET"], "x --config 'h=Authorization: SEKRET'") == (
        f"x --config 'h={SECRET}'"
    )


def test_a_secret_is_taken_out_however_it_is_spelt():
    secret = "ab/c+d=é'\\\n\"x"
    keep_secret(["token"], {"token": secret})
    spelt = [
        secret, f"{KeyError(secret)}", ascii(secret), f"{[secret]}", json.dumps({"a": secret}),
        quote(secret), quote(secret, safe=""), urlencode({"token": secret}), f"{secret.encode()}",
        shlex.join(["curl", secret]), json.dumps(secret, ensure_ascii=False),
    ]  # fmt: skip
    for text in spelt:
        assert SECRET in writable(text)
        assert not re.search("ab/c|c.{,2}d=|ab%2F", writable(text)), text
    assert SECRET in _without([secret], shlex.join(["snakemake", "--config", f"a={secret}"]))


def test_a_password_with_an_at_sign_is_no_part_of_an_address():
    assert writable("https://me:p@ss@example.org/a") == f"https://{SECRET}@example.org/a"
    text = f"https://{SECRET}@example.org?to=a@b"
    assert writable("https://me:x@example.org?to=a@b") == text


def test_a_recorded_configuration_without_its_secrets_can_be_run(recorded):
    run = {"alerts": [{**ALERT, "notification": ["email", "command", "log"], "command": ["curl"]}]}
    recorded.edit_run(configfiles=["gone.yaml"], command="snakemake", config={"run": run})
    restoration(recorded.run, relocated(recorded.run))
    saved = parse_config(
        {
            "datasets": {"a": {"path": "a.nd2"}},
            **__import__("yaml").safe_load((recorded.run.path / "config.yaml").read_text()),
        }
    )
    assert saved.run.alerts[0].notification == ("log",)
