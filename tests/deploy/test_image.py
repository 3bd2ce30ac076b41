"""Containerfile: the content of the image, and its user."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import yaml
from docs.executing import ROOT

CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
DEPLOYMENT = ROOT / "deploy" / "kubernetes" / "base" / "deployment.yaml"


def _instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} +(.+)$", CONTAINERFILE, re.MULTILINE)


def test_every_stage_is_of_a_base_by_its_digest() -> None:
    """Each FROM uses the digest that the build was given, and has no default."""
    assert {line.split(" AS ")[0] for line in _instructions("FROM")} == {"${PYTHON_IMAGE}@${PYTHON_DIGEST}"}
    assert "PYTHON_DIGEST" in _instructions("ARG")


def test_dependencies_are_pinned_by_their_hashes() -> None:
    """Every package from outside is in requirements.txt with its hash, and octosync itself adds no other."""
    installs = [line for line in _instructions("RUN") if "pip install" in line]
    assert ["--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in installs] == [True, True]


def test_it_runs_as_the_user_of_the_manifests() -> None:
    """The image's user is the Deployment's, by number, and the image runs octosync."""
    security = yaml.safe_load(DEPLOYMENT.read_text(encoding="utf-8"))["spec"]["template"]["spec"]["securityContext"]
    assert f"UID={security['runAsUser']}" in _instructions("ARG")
    assert _instructions("USER") == ["${UID}:${UID}"]
    assert _instructions("ENTRYPOINT") == ['["octosync"]']


def test_the_build_sees_what_it_copies() -> None:
    """Every source of a COPY exists, and .containerignore includes it."""
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    copied = [word for line in _instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in allowed)
