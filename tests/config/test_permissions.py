"""Who may read or change a file that holds a secret: what is refused, what is worth a note, what a mount may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import load, notes
from proxy.config.model.expected import WrongValue
from proxy.config.reading.files import check_permissions
from proxy.errors import ConfigurationError

ONE = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "HOME": "/home/u"}
FILE = Path("/run/secrets/acme")


@pytest.mark.parametrize(
    ("mode", "own", "said"),
    [
        (0o100600, True, ""),
        (0o100400, True, ""),
        (0o100640, True, "lets its group read it; run `chmod 600 /run/secrets/acme`."),
        (0o100440, True, "lets its group read it; run `chmod 600 /run/secrets/acme`."),
        (0o100644, True, "lets every user of this machine read it; run `chmod 600 /run/secrets/acme`."),
        (0o100440, False, ""),
        (0o100640, False, ""),
        (0o100444, False, "lets every user of this machine read it; as its owner run `chmod o-r /run/secrets/acme`"),
        (0o010644, True, ""),
        (0o020666, False, ""),
    ],
)
def test_each_mode_has_its_note(mode: int, own: bool, said: str) -> None:
    """A group may read root's files, as Kubernetes mounts them; no user can open a pipe later."""
    note = check_permissions(FILE, mode, own=own)
    assert note == "" if not said else note.startswith(f"The mode of the secret file {FILE} {said}")


@pytest.mark.parametrize("mode", [0o100620, 0o100602, 0o100660, 0o100666, 0o100646])
@pytest.mark.parametrize("own", [True, False])
def test_a_file_that_others_can_change_is_refused(mode: int, own: bool) -> None:
    """A user who can write a refresh token chooses whose account the proxy uses."""
    with pytest.raises(WrongValue, match=f"the file {FILE} can be changed by other users; run `chmod 600` on"):
        check_permissions(FILE, mode, own=own)


@pytest.mark.parametrize(
    "variable",
    ["AMAZON_ADS_REFRESH_TOKEN_FILE", "ADS_PROXY_ADMIN__KEY_FILE", "ADS_PROXY_STATE__KEY_FILE"],
)
def test_every_secret_file_is_judged(tmp_path: Path, variable: str) -> None:
    """A note of the configuration for one that others can read, an error for one that others can change."""
    file = tmp_path / "secret"
    file.write_text("a-secret-of-16-bytes")
    file.chmod(0o600)
    assert [note for note in notes(load(None, {**ONE, variable: str(file)})) if "secret file" in note] == []
    file.chmod(0o644)
    (note,) = [note for note in notes(load(None, {**ONE, variable: str(file)})) if "secret file" in note]
    assert note.endswith(f"run `chmod 600 {file}`.")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="can be changed by other users"):
        load(None, {**ONE, variable: str(file)})


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    """Kubernetes mounts links, whose own mode is 777."""
    (tmp_path / "target").write_text("a-secret-of-16-bytes")
    (tmp_path / "target").chmod(0o600)
    (tmp_path / "link").symlink_to("target")
    variable = {"ADS_PROXY_ADMIN__KEY_FILE": str(tmp_path / "link")}
    assert [note for note in notes(load(None, {**ONE, **variable})) if "secret file" in note] == []
    (tmp_path / "target").chmod(0o620)
    with pytest.raises(ConfigurationError, match="can be changed by other users"):
        load(None, {**ONE, **variable})


def test_what_is_no_secret_may_be_read_by_every_user(tmp_path: Path) -> None:
    """A client id and a certificate authority are public."""
    (tmp_path / "id").write_text("amzn1.application-oa2-client.x")
    (tmp_path / "id").chmod(0o644)
    environ = {"AMAZON_ADS_CLIENT_ID_FILE": str(tmp_path / "id"), "AMAZON_ADS_CLIENT_SECRET": "y"}
    assert [note for note in notes(load(None, environ)) if "secret file" in note] == []


def test_the_private_key_of_tls_is_a_secret_file(tmp_path: Path) -> None:
    """The certificate is public, the private key is not."""
    for name in ("cert", "key"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o666)
    with pytest.raises(ConfigurationError) as caught:
        load(None, {**ONE, "ADS_PROXY_TLS__CERT": str(tmp_path / "cert"), "ADS_PROXY_TLS__KEY": str(tmp_path / "key")})
    (problem,) = caught.value.problems
    assert problem.startswith(f"tls.key: the file {tmp_path / 'key'} can be changed by other users")
