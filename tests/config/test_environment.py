"""The environment: enough for one account, a variable for every key, and stronger than the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import DEFAULT_ADMIN, Address, Config, admin_address, environment, load
from proxy.config.reading.variables import known_variables, lay_over
from proxy.errors import ConfigurationError
from proxy.secret import Secret

ROOT = Path(__file__).resolve().parent.parent.parent
ONE = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.abc",
    "AMAZON_ADS_CLIENT_SECRET": "canary-client-secret",
    "AMAZON_ADS_REFRESH_TOKEN": "Atzr|canary-refresh-token",
}
TWO_ACCOUNTS = """
accounts:
  acme: {client_id: a, client_secret: s}
  Brand.One: {client_id: b, client_secret: t}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "proxy.yaml"
    path.write_text(text)
    return path


def problems_of(path: Path | None, environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ)
    return caught.value.problems


def test_three_variables_are_a_configuration() -> None:
    """Id, secret and refresh token make the account `default`, at home in na."""
    config = load(None, ONE)
    account = config.accounts["default"]
    assert (account.name, account.client_id, account.region) == ("default", ONE["AMAZON_ADS_CLIENT_ID"], "na")
    assert account.secrets[0].reveal() == "canary-client-secret"
    assert account.refresh_tokens[0] is not None
    assert account.refresh_tokens[0].reveal() == "Atzr|canary-refresh-token"
    assert account.default_profile is None
    assert config.sources == ()


def test_region_and_profile_come_from_variables_too() -> None:
    """AMAZON_ADS_REGION and AMAZON_ADS_PROFILE_ID set the home region and the default profile."""
    account = load(None, {**ONE, "AMAZON_ADS_REGION": "EU", "AMAZON_ADS_PROFILE_ID": "123"}).accounts["default"]
    assert (account.region, account.default_profile) == ("eu", "123")


def test_empty_region_and_profile_count_as_unset() -> None:
    """Compose files pass optional variables on as empty texts."""
    account = load(None, {**ONE, "AMAZON_ADS_REGION": "", "AMAZON_ADS_PROFILE_ID": ""}).accounts["default"]
    assert (account.region, account.default_profile) == ("na", None)


def test_every_account_variable_can_name_a_file(tmp_path: Path) -> None:
    """With `_FILE` each of the five is read from a file, its last line break left out, and watched."""
    values = {
        "CLIENT_ID": "id",
        "CLIENT_SECRET": "secret",
        "REFRESH_TOKEN": "Atzr|x",
        "REGION": "fe",
        "PROFILE_ID": "9",
    }
    environ = {}
    for name, value in values.items():
        (tmp_path / name).write_text(f"{value}\n")
        environ[f"AMAZON_ADS_{name}_FILE"] = str(tmp_path / name)
    config = load(None, environ)
    account = config.accounts["default"]
    assert (account.client_id, account.region, account.default_profile) == ("id", "fe", "9")
    assert account.secrets[0].reveal() == "secret"
    assert set(config.sources) == {tmp_path / name for name in values}


def test_a_missing_refresh_token_is_for_signing_in_later() -> None:
    """Id and secret alone are enough to start."""
    config = load(None, {name: ONE[name] for name in ("AMAZON_ADS_CLIENT_ID", "AMAZON_ADS_CLIENT_SECRET")})
    assert config.accounts["default"].refresh_token is None


def test_the_environment_account_joins_a_file_without_accounts(tmp_path: Path) -> None:
    """A YAML file may hold settings only."""
    config = load(write(tmp_path, "log: {level: debug}\n"), ONE)
    assert config.log.level == "debug"
    assert [*config.accounts] == ["default"]


def test_the_environment_account_and_accounts_exclude_each_other(tmp_path: Path) -> None:
    """With `accounts:` the AMAZON_ADS_ variables are an error that names them."""
    (problem,) = problems_of(write(tmp_path, TWO_ACCOUNTS), ONE)
    assert problem.startswith("AMAZON_ADS_CLIENT_ID, AMAZON_ADS_CLIENT_SECRET, AMAZON_ADS_REFRESH_TOKEN: describe")


def test_the_file_is_named_by_a_variable(tmp_path: Path) -> None:
    """ADS_PROXY_CONFIG stands for --config, and --config beats it."""
    path = write(tmp_path, TWO_ACCOUNTS)
    assert "acme" in load(None, {"ADS_PROXY_CONFIG": str(path)}).accounts
    assert "acme" in load(path, {"ADS_PROXY_CONFIG": "/nowhere.yaml"}).accounts


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """Scalars, lists, secrets and nested keys of the file give way to variables."""
    text = "listen: 127.0.0.1:1\nallowed_hosts: [a]\nlog: {level: error, access: true}\n"
    config = load(
        write(tmp_path, text),
        {
            **ONE,
            "ADS_PROXY_LISTEN": "[::1]:8088",
            "ADS_PROXY_ALLOWED_HOSTS": "Proxy.Internal, other:8080,",
            "ADS_PROXY_LOG__LEVEL": "debug",
            "ADS_PROXY_LOG__ACCESS_FIELDS": "client, status",
            "ADS_PROXY_TOKENS__REFRESH_AHEAD": "12.5",
            "ADS_PROXY_ADMIN__KEY": "canary-admin-key-0123",
            "ADS_PROXY_REWRITE_LOCATIONS": "false",
        },
    )
    assert config.listen == Address("::1", 8088)
    assert config.allowed_hosts == ("proxy.internal", "other")
    assert (config.log.level, config.log.access) == ("debug", True)
    assert config.log.access_fields == ("client", "status")
    assert config.tokens.refresh_ahead == 12.5
    assert config.admin.key is not None
    assert config.admin.key.reveal() == "canary-admin-key-0123"
    assert config.rewrite_locations is False


def test_entries_of_mappings_have_variables_too(tmp_path: Path) -> None:
    """Names are found as the file writes them, whatever case and punctuation they have; new ones are small letters."""
    config = load(
        write(tmp_path, TWO_ACCOUNTS),
        {
            "ADS_PROXY_ACCOUNTS__BRAND_ONE__REGION": "fe",
            "ADS_PROXY_ACCOUNTS__NEW__CLIENT_ID": "n",
            "ADS_PROXY_ACCOUNTS__NEW__CLIENT_SECRET": "u",
            "ADS_PROXY_REGIONS__EU__API_URL": "http://127.0.0.1:9002/",
            "ADS_PROXY_ROUTES__SHORT__ACCOUNT": "acme",
        },
    )
    assert config.accounts["Brand.One"].region == "fe"
    assert config.accounts["new"].client_id == "n"
    assert config.regions["eu"].api_url == "http://127.0.0.1:9002"
    assert config.regions["eu"].token_url == "https://api.amazon.co.uk/auth/o2/token"
    assert config.routes["short"].account == "acme"


def test_structures_are_given_as_json(tmp_path: Path) -> None:
    """Lists of sections and whole sections are YAML or JSON in one variable."""
    clients = '[{"name": "r", "key_sha256": "%s", "methods": ["get"]}]' % ("ab" * 32)
    config = load(write(tmp_path, TWO_ACCOUNTS), {"ADS_PROXY_CLIENTS": clients, "ADS_PROXY_DRAIN": "{timeout: 3}"})
    assert config.clients[0].methods == ("GET",)
    assert config.drain.timeout == 3


def test_a_secret_variable_can_name_a_file(tmp_path: Path) -> None:
    """ADS_PROXY_ADMIN__KEY_FILE and ADS_PROXY_STATE__KEY_FILE are mounted secrets."""
    (tmp_path / "key").write_text("canary-key-0123456789\n")
    config = load(
        None,
        {**ONE, "ADS_PROXY_ADMIN__KEY_FILE": str(tmp_path / "key"), "ADS_PROXY_STATE__KEY_FILE": str(tmp_path / "key")},
    )
    assert config.admin.key == config.state.key
    assert config.sources == (tmp_path / "key",)


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    """The default or the value of the file stays, also for secrets; a file of variables lists what may be set."""
    empty = dict.fromkeys(known_variables(), "")
    config = load(write(tmp_path, "admin: {key: a-key-of-16-bytes}\n"), {**empty, **ONE})
    assert config.listen == Address("127.0.0.1", 8080)
    assert config.admin.key is not None
    assert config.accounts["default"].refresh_token is not None
    assert load(None, {**ONE, "AMAZON_ADS_REFRESH_TOKEN": ""}).accounts["default"].refresh_token is None


def test_an_empty_variable_next_to_its_file_is_no_second_value(tmp_path: Path) -> None:
    """`NAME=` in a file of variables does not conflict with `NAME_FILE`."""
    (tmp_path / "token").write_text("Atzr|x")
    environ = {**ONE, "AMAZON_ADS_REFRESH_TOKEN": "", "AMAZON_ADS_REFRESH_TOKEN_FILE": str(tmp_path / "token")}
    assert load(None, environ).accounts["default"].refresh_tokens[0] == Secret("Atzr|x")


def test_the_shipped_example_works_once_the_credentials_are_filled_in() -> None:
    """`docker run --env-file .env` passes each line as it stands, the empty ones included."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    filled = {name: ONE[name] for name in ("AMAZON_ADS_CLIENT_ID", "AMAZON_ADS_CLIENT_SECRET")}
    assert {name for name, value in example.items() if not value} > {*filled, "ADS_PROXY_ADMIN__KEY"}
    assert load(None, {**example, **filled}).accounts["default"].refresh_token is None
    (problem,) = problems_of(None, example)
    assert problem.startswith("accounts: missing; set AMAZON_ADS_CLIENT_ID")


@pytest.mark.parametrize(
    "name",
    [
        "ADS_PROXY_SERVICE_HOST",
        "ADS_PROXY_SERVICE_PORT",
        "ADS_PROXY_SERVICE_PORT_HTTP",
        "ADS_PROXY_PORT",
        "ADS_PROXY_PORT_8080_TCP",
        "ADS_PROXY_PORT_8080_TCP_ADDR",
        "ADS_PROXY_ADMIN_SERVICE_HOST",
    ],
)
def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_mistake(name: str) -> None:
    """A service called ads-proxy puts variables of this prefix into every pod."""
    assert load(None, {**ONE, name: "tcp://10.0.0.1:8080"}).accounts


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"ADS_PROXY_LISTN": "x"}, "ADS_PROXY_LISTN: unknown variable; did you mean ADS_PROXY_LISTEN?"),
        (
            {"ADS_PROXY_LOG_LEVEL": "x"},
            "ADS_PROXY_LOG_LEVEL: unknown variable; did you mean ADS_PROXY_LOG__LEVEL?",
        ),
        ({"ADS_PROXY_PORT": "8080"}, "ADS_PROXY_PORT: unknown variable"),
        ({"ADS_PROXY_SOURCES": "x"}, "ADS_PROXY_SOURCES: unknown variable"),
        ({"ADS_PROXY_LISTEN_FILE": "x"}, "ADS_PROXY_LISTEN_FILE: unknown variable"),
        (
            {"ADS_PROXY_LOG__LEVEL": "loud"},
            "log.level: is not one of debug, info, warning, error (from ADS_PROXY_LOG__LEVEL)",
        ),
        ({"ADS_PROXY_CLIENTS": "[{"}, "ADS_PROXY_CLIENTS: is neither YAML nor JSON"),
        ({"ADS_PROXY_ROUTES": "{a: {account: default}, a: {}}"}, "ADS_PROXY_ROUTES: holds a key twice; keep one"),
        ({"ADS_PROXY_ROUTES": "{[a]: {}}"}, "ADS_PROXY_ROUTES: is neither YAML nor JSON"),
        ({"ADS_PROXY_ROUTES": "&a {b: *a}"}, "ADS_PROXY_ROUTES: is neither YAML nor JSON"),
        ({"ADS_PROXY_CLIENTS": "!!bool maybe"}, "ADS_PROXY_CLIENTS: is neither YAML nor JSON"),
        ({"ADS_PROXY_CLIENTS": "!!timestamp later"}, "ADS_PROXY_CLIENTS: is neither YAML nor JSON"),
        (
            {"ADS_PROXY_ADMIN__KEY": "x" * 20, "ADS_PROXY_ADMIN__KEY_FILE": "/x"},
            "ADS_PROXY_ADMIN__KEY_FILE: is set as well as",
        ),
        (
            {"AMAZON_ADS_REGION": "us"},
            "accounts.default.region: is not one of na, eu, fe (from AMAZON_ADS_REGION)",
        ),
        (
            {"AMAZON_ADS_CLIENT_SECRET": ""},
            "AMAZON_ADS_CLIENT_SECRET: is not set, but AMAZON_ADS_CLIENT_ID is; set it, or",
        ),
        (
            {"AMAZON_ADS_REFRESH_TOKEN_FILE": "/x"},
            "AMAZON_ADS_REFRESH_TOKEN_FILE: is set as well as AMAZON_ADS_REFRESH_TOKEN",
        ),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], problem: str) -> None:
    """Each mistake is told with the variable's name and what to do."""
    (told,) = problems_of(None, {**ONE, **environ})
    assert told.startswith(problem)


def test_a_missing_secret_is_named() -> None:
    """An id without its secret names the variable that is missing."""
    (problem,) = problems_of(None, {"AMAZON_ADS_CLIENT_ID": "x"})
    assert problem.startswith("AMAZON_ADS_CLIENT_SECRET: is not set, but AMAZON_ADS_CLIENT_ID is")


def test_a_misspelt_account_variable_is_found() -> None:
    """A name that is nearly ours is a mistake; those of other programs are not looked at."""
    environ = {**ONE, "AMAZON_ADS_MCP_PORT": "1"}
    assert load(None, environ).accounts
    environ["AMAZON_ADS_REFRESHTOKEN"] = environ.pop("AMAZON_ADS_REFRESH_TOKEN")
    (problem,) = problems_of(None, environ)
    assert problem == "AMAZON_ADS_REFRESHTOKEN: unknown variable; did you mean AMAZON_ADS_REFRESH_TOKEN?"


def test_nothing_at_all_names_both_ways_and_the_demo() -> None:
    """A start without any configuration says how to give one, and how to do without."""
    (problem,) = problems_of(None, {})
    assert all(word in problem for word in ("AMAZON_ADS_CLIENT_ID", "YAML file", "ads-proxy demo"))


def test_every_variable_of_the_reference_is_understood() -> None:
    """No name in the documentation is reported as unknown."""
    for name in known_variables():
        try:
            load(None, {**ONE, name: "x"})
        except ConfigurationError as error:
            assert f"{name}: unknown variable" not in str(error)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"HOME": "/home/u"}, "file:/home/u/.local/state/ads-proxy"),
        ({"HOME": "/home/u", "XDG_STATE_HOME": "/state/"}, "file:/state/ads-proxy"),
        ({"HOME": "/home/u", "XDG_STATE_HOME": "relative"}, "file:/home/u/.local/state/ads-proxy"),
        ({"HOME": "/"}, "memory:"),
        ({}, "memory:"),
        ({"HOME": "/home/u", "ADS_PROXY_STATE__URL": "memory:"}, "memory:"),
        ({"HOME": "/home/u", "ADS_PROXY_STATE__URL": "file:~/state"}, "file:/home/u/state"),
    ],
)
def test_the_state_is_in_the_users_directory(environ: dict[str, str], url: str) -> None:
    """XDG_STATE_HOME, else ~/.local/state, else memory; and what is set wins."""
    assert load(None, {**ONE, **environ}).state.url == url


def test_the_redirect_follows_the_admin_listener() -> None:
    """Signing in comes back to where the admin listener is."""
    config = load(None, {**ONE, "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:9999"})
    assert config.accounts["default"].redirect_uri == "http://localhost:9999/login/callback"


def test_the_admin_listener_of_a_broken_configuration_is_found(tmp_path: Path) -> None:
    """A running proxy can be asked what is wrong with the file."""
    path = write(tmp_path, "admin_listen: 127.0.0.1:7777\nbroken: true\n")
    assert admin_address(path, {}) == Address("127.0.0.1", 7777)
    assert admin_address(path, {"ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:7778"}).port == 7778
    assert admin_address(tmp_path / "none.yaml", {"ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:7778"}).port == 7778
    assert admin_address(write(tmp_path, "broken: true\n"), {}) == admin_address(None, {}) == DEFAULT_ADMIN


def test_an_admin_listener_that_cannot_be_found_is_a_problem(tmp_path: Path) -> None:
    """The listener at the default address may be another proxy's."""
    missing, folder = Path("/nonexistent/none.yaml"), str(tmp_path)
    with pytest.raises(ConfigurationError, match=r"--config: the file .*none\.yaml does not exist"):
        admin_address(missing, {})
    with pytest.raises(ConfigurationError, match=r"ADS_PROXY_CONFIG: .* is a directory"):
        admin_address(None, {"ADS_PROXY_CONFIG": folder})
    with pytest.raises(ConfigurationError, match=r"proxy\.yaml: line"):
        admin_address(write(tmp_path, "admin_listen: [\n"), {})
    with pytest.raises(ConfigurationError, match="admin_listen: is not an address"):
        admin_address(None, {"ADS_PROXY_ADMIN_LISTEN": "nonsense"})


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`environment` is the one door to os.environ, and a copy."""
    monkeypatch.setenv("ADS_PROXY_TEST_DOOR", "open")
    assert environment()["ADS_PROXY_TEST_DOOR"] == "open"


def test_no_secret_is_in_a_repr() -> None:
    """A configuration that is logged or raised shows no secret."""
    config: Config = load(None, {**ONE, "ADS_PROXY_ADMIN__KEY": "canary-admin-key-0123"})
    assert "canary" not in f"{config!r} {config}"
    assert {secret.reveal() for secret in config.secrets()} == {
        "canary-admin-key-0123",
        "canary-client-secret",
        "Atzr|canary-refresh-token",
    }


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ADS_PROXY_LIMITS__BODY_TIMEOUT", "5002", "is out of range; it must be at most 3600"),
        ("ADS_PROXY_LIMITS__MAX_HEADER_FIELDS", "7", "is out of range; it must be at least 8"),
        ("ADS_PROXY_DRAIN__DELAY", "-1", "is out of range; it must be at least 0"),
    ],
)
def test_a_number_out_of_range_is_told(name: str, value: str, says: str) -> None:
    """Though every variable is a text."""
    (problem,) = problems_of(None, {**ONE, name: value})
    assert says in problem


def test_a_variable_of_an_earlier_version_is_told_its_new_name() -> None:
    """A limit that was set is not silently the default."""
    (problem,) = problems_of(None, {**ONE, "ADS_PROXY_LIMITS__MAX_HEADERS": "100"})
    assert problem.endswith("it is now called ADS_PROXY_LIMITS__MAX_HEADER_FIELDS")


def test_a_directory_for_reports_or_the_authority_starts_where_the_program_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike one in the file, which starts where the file is."""
    monkeypatch.chdir(tmp_path)
    config = load(None, {**ONE, "ADS_PROXY_REPORTS__KEEP__DIR": "kept", "ADS_PROXY_INTERCEPT__CA_DIR": "ca"})
    assert config.intercept.ca_dir == tmp_path / "ca"
    assert config.reports is not None and config.reports.keep.dir == tmp_path / "kept"


def test_the_folder_of_spilled_tokens_starts_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`off` is no folder."""
    monkeypatch.chdir(tmp_path)
    shared = {**ONE, "ADS_PROXY_STATE__URL": "redis://127.0.0.1", "ADS_PROXY_STATE__KEY": "k" * 43 + "="}
    spilled = {value: load(None, {**shared, "ADS_PROXY_STATE__SPILL": value}).state.spill for value in ("here", "off")}
    assert spilled["here"] == tmp_path / "here"
    assert spilled["off"] != tmp_path / "off"


def test_the_values_of_the_file_stay_as_they_are() -> None:
    """Variables are laid over a copy: a later reload compares with what the file said."""
    values = {"log": {"level": "info"}}
    assert lay_over(values, {"ADS_PROXY_LOG__LEVEL": "debug"}).values == {"log": {"level": "debug"}}
    assert values == {"log": {"level": "info"}}


def test_a_variable_is_read_as_a_file_is() -> None:
    """No `no` that becomes false, no number to another base."""
    routes = load(
        None, {**ONE, "ADS_PROXY_ROUTES": "{no: {account: default, profile: 0123}, 1_0: {account: default}}"}
    ).routes
    assert {name: route.profile for name, route in routes.items()} == {"no": "123", "1_0": None}
