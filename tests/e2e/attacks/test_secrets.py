"""What the images and containers hold and may do, for somebody who gets hold of one."""

import io
import re
import subprocess
import tarfile

import pytest

from tests.e2e.conftest import ROOT, Compose

OWN = ("gateway", "auth", "tasks", "analysis")


def _docker(*arguments: str) -> bytes:
    return subprocess.run(["docker", *arguments], capture_output=True, check=True, timeout=120).stdout  # noqa: S603, S607


@pytest.mark.parametrize("service", OWN)
def test_an_image_holds_no_secret_in_its_history_and_settings(stack: Compose, service: str) -> None:
    image = stack.inspect(service)[0]["Image"]
    told = _docker("history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", image) + _docker(
        "inspect", image
    )
    for name, secret in stack.secrets.items():
        assert secret.encode() not in told, name
        assert f"{name}=".encode() not in told
    assert not re.search(rb"(?i)(password|secret|token)[\w]*=\S", told)


@pytest.mark.parametrize("service", OWN)
def test_an_image_holds_our_code_and_none_of_our_settings_tests_or_history(stack: Compose, service: str) -> None:
    container = stack.inspect(service)[0]["Id"]
    with tarfile.open(fileobj=io.BytesIO(_docker("cp", f"{container}:/app", "-"))) as archive:
        names = archive.getnames()
    assert any(name.endswith("/__main__.py") for name in names)
    odd = [name for name in names if re.search(r"(^|/)(\.env|\.git|tests|.*\.pem|.*\.key|\.venv)(/|$)", name)]
    assert odd == []
    others = {f"app/services/{other}" for other in OWN if other not in (service, "gateway")}
    assert not others & set(names)


@pytest.mark.parametrize("service", OWN)
def test_a_container_runs_without_rights_and_cannot_write_to_its_image(stack: Compose, service: str) -> None:
    for container in stack.inspect(service):
        host = container["HostConfig"]
        assert container["Config"]["User"] == "10001:10001"
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert not host["Privileged"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["PidMode"] in ("", "private")
        assert host["NetworkMode"] not in ("host", "none")
        assert container["Mounts"] == []  # neither the Docker socket nor anything of the host's
        assert all(device == [] or device is None for device in (host["Devices"], host["DeviceRequests"]))


TRY = """
import os, sys
def fails(what, *args, **kw):
    try:
        what(*args, **kw)
    except OSError:
        return True
    return False
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(fails(open, "/app/owned", "w"), fails(open, "/opt/venv/owned", "w"), fails(open, "/etc/owned", "w"),
      fails(os.setuid, 0), fails(os.chown, "/app", 0, 0), status["CapEff"].strip(), status["NoNewPrivs"].strip())
"""


@pytest.mark.parametrize("service", OWN)
def test_code_that_runs_inside_a_container_gains_nothing(stack: Compose, service: str) -> None:
    said = stack.run("exec", "-T", service, "python", "-c", TRY).stdout.split()
    assert said == ["True"] * 5 + ["0" * 16, "1"]


def test_every_secret_is_empty_in_the_example_settings() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    secrets = {name: value for name, value in settings.items() if re.search(r"PASSWORD|TOKEN|KEY|SECRET", name)}
    assert len(secrets) >= 6
    assert set(secrets.values()) == {""}
