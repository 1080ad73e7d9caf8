"""Settings: read from variables, a YAML file and secret files; every mistake told, no secret shown."""

from pathlib import Path
from textwrap import dedent
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from gateway.settings.reading import _SECRETS, SettingsError, load_settings
from gateway.settings.tree import Settings

UNKNOWN = "there is no such setting (docs/settings.md lists them all)"
PEPPER = "a pepper of enough characters"


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Writes `gateway.yaml`; gives the variable that names it."""

    def write(text: str) -> dict[str, str]:
        file = tmp_path / "gateway.yaml"
        file.write_text(dedent(text))
        return {"GATEWAY_CONFIG_FILE": str(file)}

    return write


def problems(variables: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(variables)
    return refused.value.problems


def in_file(variables: dict[str, str]) -> list[str]:
    """The problems without the folder of the file."""
    folder = str(Path(variables["GATEWAY_CONFIG_FILE"]).parent)
    return [problem.replace(f"{folder}/", "") for problem in problems(variables)]


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings({})
    assert (settings.listen, settings.admin_listen) == ("127.0.0.1:8080", "127.0.0.1:9090")


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("GATEWAY_LISTEN", "0.0.0.0:80", lambda settings: settings.listen),
        ("GATEWAY_LISTEN", "[::1]:80", lambda settings: settings.listen),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0", lambda settings: settings.admin_listen),
        ("GATEWAY_POLICIES_DIR", "/etc/policies", lambda settings: str(settings.policies_dir)),
        ("GATEWAY_REDIS_URL", "redis://cache:6379/0", lambda s: s.redis_url.get_secret_value()),
        ("GATEWAY_REDIS_URL", "redis+cluster://a,b", lambda s: s.redis_url.get_secret_value()),
        ("GATEWAY_REDIS_CA_FILE", "/etc/redis-ca.pem", lambda settings: str(settings.redis_ca_file)),
        ("GATEWAY_DATABASE_URL", "postgresql://db/x", lambda s: s.database_url.get_secret_value()),
        ("GATEWAY_UPSTREAM__BASE_URL", "http://localhost:1/v1", lambda s: s.upstream.base_url),
        ("GATEWAY_UPSTREAM__API_KEY", "sk-1", lambda s: s.upstream.api_key.get_secret_value()),
        ("GATEWAY_UPSTREAM__ADMIN_KEY", "sk-admin-1", lambda s: s.upstream.admin_key.get_secret_value()),
        ("GATEWAY_UPSTREAM__PROJECT", "proj_1", lambda s: s.upstream.project),
        ("GATEWAY_UPSTREAM__PROXY", "http://proxy:3128", lambda s: s.upstream.proxy),
        ("GATEWAY_KEY_PEPPER", PEPPER, lambda settings: settings.key_pepper.get_secret_value()),
        (
            "GATEWAY_ADMIN_TOKEN",
            "operators-own-token",
            lambda settings: settings.admin_token.get_secret_value(),
        ),
        ("GATEWAY_JOURNAL__DIRECTORY", "disk/journal", lambda s: str(s.journal.directory)),
        ("GATEWAY_JOURNAL__MOST_BYTES", "1048576", lambda s: str(s.journal.most_bytes)),
        ("GATEWAY_ALERTS__WEBHOOK_URL", "https://h/x?y=1", lambda s: s.alerts.webhook_url.get_secret_value()),
        ("GATEWAY_LOG_LEVEL", "debug", lambda settings: settings.log_level),
    ],
)
def test_a_variable_sets_it(name: str, value: str, read: Any) -> None:
    assert read(load_settings({name: value})) == value


def test_numbers_are_read() -> None:
    assert load_settings({"GATEWAY_BOUNDS__DRAIN_SECONDS": "2.5"}).bounds.drain_seconds == 2.5


def test_the_log_level_may_be_in_capitals() -> None:
    assert load_settings({"GATEWAY_LOG_LEVEL": "WARNING"}).log_level == "warning"


def test_a_base_url_loses_its_last_slash() -> None:
    settings = load_settings({"GATEWAY_UPSTREAM__BASE_URL": "https://api.openai.com/v1/"})
    assert settings.upstream.base_url == "https://api.openai.com/v1"


def test_other_variables_are_none_of_our_business() -> None:
    load_settings({"PATH": "/bin", "MY_GATEWAY_LISTEN": "nonsense", "gateway_listen": "nonsense"})


def test_further_upstreams_have_the_names_that_policies_use() -> None:
    settings = load_settings({"GATEWAY_UPSTREAMS__AZURE_EU__BASE_URL": "https://eu.example"})
    assert list(settings.all_upstreams) == ["openai", "azure_eu"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_ADMIN_TOKEN", ""),
        ("GATEWAY_KEY_PEPPER", ""),
        ("GATEWAY_REDIS_CA_FILE", ""),
        ("GATEWAY_REDIS_SENTINEL_PASSWORD", ""),
        ("GATEWAY_UPSTREAM__API_KEY", ""),
        ("GATEWAY_UPSTREAM__ADMIN_KEY", ""),
        ("GATEWAY_UPSTREAM__PROXY", ""),
    ],
)
def test_an_empty_value_is_none(name: str, value: str) -> None:
    settings = load_settings({name: value})
    optional = (
        *(settings.admin_token, settings.key_pepper, settings.upstream.api_key, settings.upstream.proxy),
        *(settings.redis_ca_file, settings.redis_sentinel_password, settings.upstream.admin_key),
    )
    assert set(optional) == {None}


MISTAKES = [
    ({"GATEWAY_LISTEN": "8080"}, "must be host:port, such as 127.0.0.1:8080"),
    ({"GATEWAY_LISTEN": ":8080"}, "must be host:port, such as 127.0.0.1:8080"),
    ({"GATEWAY_LISTEN": "http://0.0.0.0:8080"}, "must be host:port, such as 127.0.0.1:8080"),
    ({"GATEWAY_LISTEN": "localhost:65536"}, "must be host:port, such as 127.0.0.1:8080"),
    ({"GATEWAY_ADMIN_LISTEN": "127.0.0.1:8080"}, "must not be where clients connect"),
    (
        {"GATEWAY_REDIS_URL": "http://cache"},
        "must be a URL that begins with redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, "
        "redis+cluster://, rediss+cluster://",
    ),
    (
        {"GATEWAY_REDIS_URL": "rediss://cache?ssl_cert_reqs=none"},
        "must have no ? and no parameters; in a password it is written %3F",
    ),
    ({"GATEWAY_DATABASE_URL": "mysql://db"}, "must begin with sqlite:/// or postgresql://"),
    ({"GATEWAY_KEY_PEPPER": "short"}, "must have at least 16 characters"),
    ({"GATEWAY_ADMIN_TOKEN": "two words"}, "must be of printable ASCII characters without spaces"),
    ({"GATEWAY_UPSTREAM__API_KEY": "sk\n"}, "must be of printable ASCII characters without spaces"),
    ({"GATEWAY_UPSTREAM__ADMIN_KEY": "sk\n"}, "must be of printable ASCII characters without spaces"),
    ({"GATEWAY_UPSTREAM__PROJECT": "proj 1"}, "must be of printable ASCII characters without spaces"),
    ({"GATEWAY_UPSTREAM__BASE_URL": "api.openai.com"}, "must be a URL: http://host or https://host"),
    ({"GATEWAY_UPSTREAM__BASE_URL": "https://"}, "must be a URL: http://host or https://host"),
    ({"GATEWAY_UPSTREAM__BASE_URL": "https://[::1"}, "must be a URL: http://host or https://host"),
    ({"GATEWAY_UPSTREAM__BASE_URL": "https://h:x/v1"}, "must be a URL: http://host or https://host"),
    ({"GATEWAY_UPSTREAM__BASE_URL": "https://a b/v1"}, "must be a URL: http://host or https://host"),
    (
        {"GATEWAY_UPSTREAM__BASE_URL": "https://user:pass@h"},
        "must be a URL without user name, query and fragment",
    ),
    ({"GATEWAY_UPSTREAM__BASE_URL": "https://h?x"}, "must be a URL without user name, query and fragment"),
    ({"GATEWAY_UPSTREAM__PROXY": "socks5://proxy"}, "must be a URL: http://host"),
    ({"GATEWAY_UPSTREAM__KIND": "azure"}, "an upstream of kind azure needs a base_url"),
    ({"GATEWAY_UPSTREAM__CONNECT_SECONDS": "0"}, "Input should be greater than 0"),
    ({"GATEWAY_UPSTREAM": "{}"}, "holds settings by name, no value of its own"),
    ({"GATEWAY_UPSTREAMS": "{}"}, "holds settings by name, no value of its own"),
    ({"GATEWAY_LISTENN": "x"}, UNKNOWN),
    ({"GATEWAY_UPSTREAM__API_KEYS": "x"}, UNKNOWN),
    ({"GATEWAY_LISTEN__HOST__NAME": "x"}, "Input should be a valid string"),
    ({"GATEWAY_": "x"}, UNKNOWN),
    ({"GATEWAY_PORT": "8080"}, UNKNOWN),
]


@pytest.mark.parametrize(("variables", "sentence"), MISTAKES)
def test_a_mistake_is_told_with_the_name_of_its_variable(variables: dict[str, str], sentence: str) -> None:
    (name,) = variables
    (problem,) = problems(variables)
    told, _, said = problem.partition(": ")
    assert (name.startswith(told), said) == (True, sentence)


def test_a_further_upstream_must_say_where_it_is() -> None:
    assert problems({"GATEWAY_UPSTREAMS__EU__API_KEY": "k"}) == [
        "GATEWAY_UPSTREAMS__EU__BASE_URL: must be set"
    ]


def test_no_further_upstream_may_be_called_openai() -> None:
    (problem,) = problems({"GATEWAY_UPSTREAMS__OPENAI__BASE_URL": "https://h"})
    assert "GATEWAY_UPSTREAM__*" in problem


def test_a_part_of_a_setting_that_has_no_parts_is_a_mistake() -> None:
    variables = {"GATEWAY_LISTEN": "127.0.0.1:1", "GATEWAY_LISTEN__PORT": "2"}
    assert problems(variables) == [f"GATEWAY_LISTEN__PORT: {UNKNOWN}"]


def test_every_mistake_is_told_at_once(config: Any, tmp_path: Path) -> None:
    file = config("""
        listen: nowhere
        upstream:
          base_urll: https://h
        bounds:
          json_depth: many
    """)
    told = in_file(
        {
            **file,
            "GATEWAY_LOG_LEVEL": "loud",
            "GATEWAY_KEY_PEPPER_FILE": str(tmp_path / "missing"),
            "GATEWAY_LISTENN": "x",
        }
    )
    assert sorted(told) == [
        "GATEWAY_KEY_PEPPER_FILE: the file cannot be read: No such file or directory",
        f"GATEWAY_LISTENN: {UNKNOWN}",
        "GATEWAY_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'",
        "gateway.yaml:2: listen: must be host:port, such as 127.0.0.1:8080",
        f"gateway.yaml:4: upstream.base_urll: {UNKNOWN}",
        "gateway.yaml:6: bounds.json_depth: Input should be a valid integer,"
        " unable to parse string as an integer",
    ]


def test_the_error_says_all_of_it() -> None:
    with pytest.raises(SettingsError, match=r"GATEWAY_A: .*; GATEWAY_B: "):
        load_settings({"GATEWAY_B": "", "GATEWAY_A": ""})


# The YAML file.


def test_a_file_holds_the_same_tree(config: Any) -> None:
    settings = load_settings(config("listen: 0.0.0.0:80\nbounds: {drain_seconds: 3}\nupstreams: {}\n"))
    assert (settings.listen, settings.bounds.drain_seconds) == ("0.0.0.0:80", 3)


def test_an_empty_file_changes_nothing(config: Any) -> None:
    assert load_settings(config("# nothing yet\n")) == load_settings({})


def test_a_variable_wins_over_the_file(config: Any) -> None:
    variables = {**config("listen: 0.0.0.0:80\n"), "GATEWAY_LISTEN": "127.0.0.1:81"}
    assert load_settings(variables).listen == "127.0.0.1:81"


def test_a_variable_wins_over_one_member_and_leaves_the_others(config: Any) -> None:
    file = config("upstreams:\n  eu: {base_url: https://file, api_version: v9}\n")
    eu = load_settings({**file, "GATEWAY_UPSTREAMS__EU__BASE_URL": "https://env"}).upstreams["eu"]
    assert (eu.base_url, eu.api_version) == ("https://env", "v9")


def test_a_mistake_in_a_variable_is_not_blamed_on_the_file(config: Any) -> None:
    variables = {**config("listen: 0.0.0.0:80\n"), "GATEWAY_LISTEN": "nowhere"}
    assert problems(variables) == ["GATEWAY_LISTEN: must be host:port, such as 127.0.0.1:8080"]


def test_what_is_missing_is_told_where_it_should_stand(config: Any) -> None:
    file = config("upstreams:\n  us: {base_url: https://us}\n  eu: {kind: azure}\n")
    assert in_file(file) == ["gateway.yaml:3: upstreams.eu.base_url: must be set"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listen: 0.0.0.0:80\nlisten: 0.0.0.0:81\n", "gateway.yaml:2: listen: stands twice, first on line 1"),
        ("- listen\n", "gateway.yaml: must hold settings by name"),
        ("listen: 8080\n", "gateway.yaml:1: listen: Input should be a valid string"),
        ("upstream:\n", "gateway.yaml:1: upstream: holds settings by name, no value of its own"),
        ("a: {b: c}\n", f"gateway.yaml:1: a: {UNKNOWN}"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(config: Any, text: str, told: str) -> None:
    assert in_file(config(text)) == [told]


def test_a_file_that_is_no_yaml_is_told_with_its_line(config: Any) -> None:
    (problem,) = in_file(config("upstream:\n  api_key: [sk-1\n"))
    assert problem.startswith("gateway.yaml:3: is not YAML: ")


def test_a_file_that_is_missing_is_a_mistake() -> None:
    assert problems({"GATEWAY_CONFIG_FILE": "nowhere.yaml"}) == [
        "GATEWAY_CONFIG_FILE: nowhere.yaml cannot be read: No such file or directory"
    ]


REDIS_EXTRAS = [
    ("redis://cache", "GATEWAY_REDIS_CA_FILE", "is for a GATEWAY_REDIS_URL that begins with rediss"),
    ("unix:///a.sock", "GATEWAY_REDIS_CA_FILE", "is for a GATEWAY_REDIS_URL that begins with rediss"),
    (
        "rediss+cluster://a,b",
        "GATEWAY_REDIS_SENTINEL_PASSWORD",
        "is for a GATEWAY_REDIS_URL of sentinels, redis+sentinel://",
    ),
]


@pytest.mark.parametrize(("url", "name", "sentence"), REDIS_EXTRAS)
def test_what_a_redis_has_no_use_for_is_a_mistake(url: str, name: str, sentence: str) -> None:
    assert problems({"GATEWAY_REDIS_URL": url, name: "hush"}) == [f"{name}: {sentence}"]


def test_a_wrong_redis_url_is_one_mistake_whatever_goes_with_it() -> None:
    extras = {"GATEWAY_REDIS_CA_FILE": "ca.pem", "GATEWAY_REDIS_SENTINEL_PASSWORD": "hush"}
    (problem,) = problems({"GATEWAY_REDIS_URL": "redis://:hush@", **extras})
    assert problem.startswith("GATEWAY_REDIS_URL: must name each host")


def test_sentinels_may_have_certificates_of_their_own_authority_and_a_password() -> None:
    settings = load_settings(
        {
            "GATEWAY_REDIS_URL": "rediss+sentinel://a,b/main",
            "GATEWAY_REDIS_CA_FILE": "ca.pem",
            "GATEWAY_REDIS_SENTINEL_PASSWORD": "hush",
        }
    )
    assert (settings.redis_ca_file, settings.redis_sentinel_password) == (Path("ca.pem"), SecretStr("hush"))


# Secrets.


def secret_fields(model: type[BaseModel]) -> set[str]:
    """Names of settings that are secrets, at any depth."""
    found = set()
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        found |= {name} if SecretStr in kinds else set()
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= secret_fields(kind)
    return found


def test_every_secret_can_be_read_from_a_file() -> None:
    assert secret_fields(Settings) == _SECRETS


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("GATEWAY_KEY_PEPPER_FILE", PEPPER, lambda settings: settings.key_pepper),
        ("GATEWAY_ADMIN_TOKEN_FILE", "operators-own-token", lambda settings: settings.admin_token),
        ("GATEWAY_REDIS_URL_FILE", "redis://cache", lambda settings: settings.redis_url),
        ("GATEWAY_DATABASE_URL_FILE", "sqlite:///x.db", lambda settings: settings.database_url),
        ("GATEWAY_UPSTREAM__API_KEY_FILE", "sk-1", lambda settings: settings.upstream.api_key),
        ("GATEWAY_UPSTREAM__ADMIN_KEY_FILE", "sk-1", lambda settings: settings.upstream.admin_key),
        ("GATEWAY_ALERTS__WEBHOOK_URL_FILE", "https://h", lambda settings: settings.alerts.webhook_url),
        ("GATEWAY_ALERTS__WEBHOOK_SECRET_FILE", PEPPER, lambda settings: settings.alerts.webhook_secret),
    ],
)
def test_a_secret_is_read_from_its_file_without_the_line_end(
    tmp_path: Path, name: str, content: str, read: Any
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{content}\n")
    assert read(load_settings({name: str(file)})).get_secret_value() == content


def test_a_settings_file_may_name_secret_files_too(config: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1")
    settings = load_settings(config(f"upstream: {{api_key_file: {tmp_path}/key}}\n"))
    assert settings.all_upstreams["openai"].api_key == SecretStr("sk-1")


def test_a_secret_in_a_variable_wins_over_the_file_that_the_settings_file_names(config: Any) -> None:
    (Path(config("")["GATEWAY_CONFIG_FILE"]).parent / "token").write_text("a-token-from-a-file")
    file = config("admin_token: a-token-from-yaml\n")
    token = Path(file["GATEWAY_CONFIG_FILE"]).parent / "token"
    settings = load_settings({**file, "GATEWAY_ADMIN_TOKEN_FILE": str(token)})
    assert settings.admin_token == SecretStr("a-token-from-a-file")


def test_a_secret_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    variables = {"GATEWAY_ADMIN_TOKEN": "the-operators-own", "GATEWAY_ADMIN_TOKEN_FILE": str(tmp_path)}
    assert problems(variables) == [
        "GATEWAY_ADMIN_TOKEN_FILE: admin_token itself is set as well; set one of the two"
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b" \n", "the file is empty"),
        (b"\xff", "the file cannot be read: it is not text"),
        (b"short", "must have at least 16 characters"),
    ],
)
def test_what_is_wrong_with_a_secret_file_is_told_under_its_name(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert problems({"GATEWAY_KEY_PEPPER_FILE": str(file)}) == [f"GATEWAY_KEY_PEPPER_FILE: {told}"]


def test_only_secrets_are_read_from_files() -> None:
    assert problems({"GATEWAY_LISTEN_FILE": "x"}) == [f"GATEWAY_LISTEN_FILE: {UNKNOWN}"]


ALL_SECRET = {
    "GATEWAY_KEY_PEPPER": "hush-hush-hush-hush",
    "GATEWAY_ADMIN_TOKEN": "hush-hush-hush-hush",
    "GATEWAY_ADMIN_TOKENS__LEAD__TOKEN": "hush-hush-hush-hush-hush",
    "GATEWAY_CONSOLE__ISSUER": "entra",
    "GATEWAY_CONSOLE__CLIENT_ID": "gateway",
    "GATEWAY_CONSOLE__URL": "https://admin",
    "GATEWAY_CONSOLE__CLIENT_SECRET": "hush",
    "GATEWAY_UPSTREAM__API_KEY": "hush",
    "GATEWAY_UPSTREAM__ADMIN_KEY": "hush",
    "GATEWAY_UPSTREAMS__EU__BASE_URL": "https://eu",
    "GATEWAY_UPSTREAMS__EU__API_KEY": "hush",
    "GATEWAY_REDIS_URL": "redis+sentinel://:hush@cache/main",
    "GATEWAY_REDIS_SENTINEL_PASSWORD": "hush",
    "GATEWAY_DATABASE_URL": "postgresql://gateway:hush@db/x",
    "GATEWAY_ALERTS__WEBHOOK_URL": "https://chat/hush?key=hush",
    "GATEWAY_ALERTS__WEBHOOK_SECRET": "hush-hush-hush-hush",
}


def test_no_secret_shows_in_the_repr() -> None:
    settings = load_settings(ALL_SECRET)
    assert "hush" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    "variables",
    [
        {"GATEWAY_KEY_PEPPER": "hush"},
        {"GATEWAY_ADMIN_TOKEN": "hush hush"},
        {"GATEWAY_UPSTREAM__API_KEY": "hush\thush"},
        {"GATEWAY_REDIS_URL": "http://:hush@cache"},
        {"GATEWAY_REDIS_URL": "redis://:hu/hush@cache"},
        {"GATEWAY_REDIS_URL": "redis://cache", "GATEWAY_REDIS_SENTINEL_PASSWORD": "hush"},
        {"GATEWAY_DATABASE_URL": "mysql://:hush@db"},
        {"GATEWAY_UPSTREAM": "hush"},
        {"GATEWAY_UPSTREAM__BASE_URL": "https://user:hush@h"},
        {"GATEWAY_UPSTREAM__PROXY": "http://user:hush@h"},
        {"GATEWAY_ALERTS__WEBHOOK_URL": "ftp://chat/hush"},
        {"GATEWAY_ALERTS__WEBHOOK_URL": "https://chat/x?y=hush hush"},
        {"GATEWAY_ALERTS__WEBHOOK_SECRET": "whsec_hush-"},
        {"GATEWAY_KEY_PEPER": "hush"},
        {"GATEWAY_BOUNDS__JSON_DEPTH": "hush"},
    ],
)
def test_no_secret_shows_in_an_error(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(variables)
    assert "hush" not in f"{refused.value!r} {refused.value.problems} {refused.value.__cause__}"


@pytest.mark.parametrize(
    "text",
    [
        "admin_token: 'hush\n",
        "admin_token: {hush\n",
        "upstream:\n  api_key: hush\n api_key: hush\n",
        "key_pepper: hush\n",
        "key_pepper: [hush]\n",
        "admin_token: \thush: @hush\n",
    ],
)
def test_no_secret_shows_in_an_error_about_the_file(config: Any, text: str) -> None:
    assert "hush" not in " ".join(in_file(config(text)))


# Kubernetes.

SERVICE_LINKS = {
    "GATEWAY_SERVICE_HOST": "10.0.0.1",
    "GATEWAY_SERVICE_PORT": "8080",
    "GATEWAY_SERVICE_PORT_HTTP": "8080",
    "GATEWAY_PORT": "tcp://10.0.0.1:8080",
    "GATEWAY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "GATEWAY_PORT_8080_TCP_PROTO": "tcp",
    "GATEWAY_PORT_8080_TCP_PORT": "8080",
    "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
    "GATEWAY_ADMIN_SERVICE_HOST": "10.0.0.2",
    "GATEWAY_ADMIN_SERVICE_PORT_METRICS": "9090",
    "GATEWAY_ADMIN_PORT": "tcp://10.0.0.2:9090",
    "GATEWAY_ADMIN_PORT_9090_TCP_ADDR": "10.0.0.2",
    "GATEWAY_REDIS_MASTER_PORT_6379_TCP": "tcp://10.0.0.3:6379",
}


def test_what_kubernetes_says_of_services_is_no_setting() -> None:
    assert load_settings(SERVICE_LINKS) == load_settings({})


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "GATEWAY_ADMIN_PORT", "GATEWAY_LISTEN_PORT"])
def test_a_port_that_somebody_tried_to_set_is_a_mistake(name: str) -> None:
    assert problems({name: "8080"}) == [f"{name}: {UNKNOWN}"]


# Alerts.


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("a secret of some length", b"a secret of some length"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILA==", b"1\xf2\x90\xf6\xbf\x06)\x8a\xabO\x08\xd4<?\x08,"),
        ("", None),
    ],
)
def test_a_webhook_is_signed_by_text_or_by_base64(secret: str, key: bytes | None) -> None:
    settings = load_settings({"GATEWAY_ALERTS__WEBHOOK_SECRET": secret})
    assert settings.alerts.signing_key == key


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("URL", "chat.example/hook", "must be a URL: http://host or https://host"),
        ("URL", "ftp://chat.example", "must be a URL: http://host or https://host"),
        ("URL", "https://chat?a b", "must be of printable ASCII characters without spaces"),
        ("SECRET", "too short", "must have at least 16 bytes"),
        ("SECRET", "whsec_MfKQ", "must have at least 16 bytes"),
        ("SECRET", "whsec_not base64 at all", "must have base64 after `whsec_`"),
    ],
)
def test_a_webhook_that_cannot_be_is_told(name: str, value: str, told: str) -> None:
    variable = f"GATEWAY_ALERTS__WEBHOOK_{name}"
    assert problems({variable: value}) == [f"{variable}: {told}"]


def test_nobody_is_told_when_no_webhook_is_set() -> None:
    alerts = load_settings({"GATEWAY_ALERTS__WEBHOOK_URL": ""}).alerts
    assert (alerts.webhook_url, alerts.signing_key) == (None, None)


# Operators' tokens, TLS, the console's sign-in.

TOKEN = "token-of-16-characters"
LEAD = {"GATEWAY_ADMIN_TOKENS__LEAD__TOKEN": TOKEN}


def test_a_further_token_lets_its_holder_look_unless_it_says_more() -> None:
    token = load_settings(LEAD).admin_tokens["lead"]
    assert (token.role, token.teams) == ("viewer", [])


def test_a_team_admin_names_teams_separated_by_commas() -> None:
    variables = {
        **LEAD,
        "GATEWAY_ADMIN_TOKENS__LEAD__ROLE": "team_admin",
        "GATEWAY_ADMIN_TOKENS__LEAD__TEAMS": "search, legal",
    }
    assert load_settings(variables).admin_tokens["lead"].teams == ["search", "legal"]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"GATEWAY_ADMIN_TOKENS__LEAD__TOKEN": "short"}, "must have at least 16 characters"),
        ({"GATEWAY_ADMIN_TOKEN": "short"}, "must have at least 16 characters"),
        (LEAD | {"GATEWAY_ADMIN_TOKENS__LEAD__ROLE": "team_admin"}, "a team_admin needs teams"),
        (LEAD | {"GATEWAY_ADMIN_TOKENS__LEAD__TEAMS": "search"}, "a team_admin needs teams"),
        ({"GATEWAY_ADMIN_TOKENS__ADMIN__TOKEN": TOKEN}, "`admin` is the name of the one"),
        (LEAD | {"GATEWAY_ADMIN_TOKEN": TOKEN}, "two of the operators' tokens are the same"),
        (LEAD | {"GATEWAY_ADMIN_TOKENS__OPS__TOKEN": TOKEN}, "two of the operators' tokens are the same"),
        ({"GATEWAY_TLS__CERT_FILE": "/a.pem"}, "cert_file and key_file belong together"),
        ({"GATEWAY_TLS__CLIENT_CERTIFICATES": "optional"}, "client_certificates needs cert_file"),
        ({"GATEWAY_TLS__CLIENT_CA_FILE": "/a.pem"}, "client_ca_file is for client_certificates"),
        ({"GATEWAY_CONSOLE__ISSUER": "entra"}, "issuer, client_id and url belong together"),
        ({"GATEWAY_CONSOLE__URL": "ftp://x"}, "must be a URL"),
    ],
)
def test_what_contradicts_is_told(variables: dict[str, str], sentence: str) -> None:
    (problem,) = problems(variables)
    assert sentence in problem
    assert TOKEN not in problem
