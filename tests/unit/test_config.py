"""The boot configuration: where a value comes from, what is refused, and no secret is shown."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from onsettle.config import Config, ConfigError, load
from onsettle.domain.network import MULTICALL3, MintToken

USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
TOKEN = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
OTHER_KEY = "8da4ef21b864d2cc526dbdb2a120bd2874c36c9d0a1fb7f8c63d7f7a8b41de8f"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
RPC = "https://node.example/v2/path-that-is-a-key"
NETWORK = {"ONSETTLE_RPC_URLS": RPC, "ONSETTLE_ASSETS": USDC}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def problems(env: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(env, folder)
    return caught.value.problems


def problem(env: Mapping[str, str], folder: Path) -> str:
    (only,) = problems(env, folder)
    return only


class TestDefaults:
    def test_nothing_set_is_a_service_without_networks_on_loopback(self, folder: Path) -> None:
        config = load({}, folder)
        assert config.networks == ()
        assert config.database_url is None
        assert (config.host, config.port) == ("127.0.0.1", 4021)
        assert config.api_keys == ()
        assert config.admin_token is None
        assert config.log_format is None
        assert config.data_dir.is_absolute()
        assert config.data_dir.name == "onsettle"

    def test_an_empty_variable_counts_as_absent(self, folder: Path) -> None:
        env = {"DATABASE_URL": "", "ONSETTLE_RPC_URLS": " ", "ONSETTLE_PORT": ""}
        config = load(env, folder)
        assert config.database_url is None
        assert config.networks == ()
        assert config.port == 4021

    def test_only_the_mapping_that_is_given_is_read(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ONSETTLE_PORT", "1")
        assert load({}, folder).port == 4021
        assert load(None, folder).port == 1


class TestOneNetworkFromTheEnvironment:
    def test_lists_are_split_at_commas_and_addresses_lower_cased(self, folder: Path) -> None:
        env = {
            "ONSETTLE_RPC_URLS": f"{RPC}, http://127.0.0.1:8545 ,",
            "ONSETTLE_ASSETS": USDC,
            "ONSETTLE_PAY_TO": PAYEE.upper().replace("0X", "0x"),
        }
        (section,) = load(env, folder).networks
        assert section.config.name == "default"
        assert section.config.rpc_urls == (RPC, "http://127.0.0.1:8545")
        assert section.config.assets == (USDC.lower(),)
        assert section.config.pay_to == (PAYEE.lower(),)
        assert section.config.multicall == MULTICALL3
        assert (section.payment_keys, section.mint_keys) == ((), ())

    def test_a_mint_token_stands_alone_or_with_price_and_payee(self, folder: Path) -> None:
        env = NETWORK | {"ONSETTLE_MINT_TOKENS": f"{TOKEN},{USDC}:1000000:{PAYEE}"}
        (section,) = load(env, folder).networks
        assert section.config.mint_tokens == (
            MintToken(address=TOKEN.lower()),
            MintToken(address=USDC.lower(), price=1_000_000, payee=PAYEE.lower()),
        )

    @pytest.mark.parametrize(
        ("item", "says"),
        [
            (f"{TOKEN}:5", "token:price:payee"),
            (f"{TOKEN}:0:{PAYEE}", "price"),
            (f"{TOKEN}:1.5:{PAYEE}", "price"),
            (f"{TOKEN}:-1:{PAYEE}", "price"),
            (f"{TOKEN}:{2**256}:{PAYEE}", "price"),
            (f"{TOKEN}:1:nobody", "not an address"),
            ("nothing", "not an address"),
        ],
    )
    def test_a_mint_token_that_cannot_be_read_is_named_by_position(
        self, folder: Path, item: str, says: str
    ) -> None:
        said = problem(NETWORK | {"ONSETTLE_MINT_TOKENS": f"{USDC},{item}"}, folder)
        assert said.startswith("ONSETTLE_MINT_TOKENS, item 2,")
        assert says in said

    def test_a_payee_that_no_payment_could_have_is_refused(self, folder: Path) -> None:
        env = NETWORK | {"ONSETTLE_MINT_TOKENS": f"{TOKEN}:5:{PAYEE}", "ONSETTLE_PAY_TO": USDC}
        assert "ONSETTLE_PAY_TO does not accept" in problem(env, folder)

    @pytest.mark.parametrize("name", ["ONSETTLE_ASSETS", "ONSETTLE_PAY_TO", "ONSETTLE_MINT_TOKENS"])
    def test_one_address_twice_is_refused_in_any_letter_case(self, folder: Path, name: str) -> None:
        said = problem(NETWORK | {name: f"{TOKEN},{TOKEN.lower()}"}, folder)
        assert said.startswith(f"{name} has the same")

    def test_a_wrong_checksum_is_refused(self, folder: Path) -> None:
        mistyped = USDC.replace("fCD6", "fcD6")
        said = problem(NETWORK | {"ONSETTLE_ASSETS": f"{TOKEN},{mistyped}"}, folder)
        assert said.startswith("ONSETTLE_ASSETS, item 2,")
        assert "checksum" in said

    @pytest.mark.parametrize(
        "text", ["0x12", USDC[2:], USDC + "00", "0X" + USDC[2:], "vitalik.eth"]
    )
    def test_what_is_not_an_address_is_refused(self, folder: Path, text: str) -> None:
        said = problem(NETWORK | {"ONSETTLE_MULTICALL": text}, folder)
        assert said == "ONSETTLE_MULTICALL is not an address: 0x and 40 hexadecimal digits."

    def test_chain_variables_without_an_endpoint_are_refused(self, folder: Path) -> None:
        said = problem({"ONSETTLE_ASSETS": USDC}, folder)
        assert said == "ONSETTLE_RPC_URLS is missing: a network needs at least one endpoint."

    @pytest.mark.parametrize(
        "url", ["node.example", "ws://node.example", "http://", "http://[::1", "http://a:b/"]
    )
    def test_an_endpoint_is_an_http_address(self, folder: Path, url: str) -> None:
        said = problem(NETWORK | {"ONSETTLE_RPC_URLS": f"{RPC},{url}"}, folder)
        assert said.startswith("ONSETTLE_RPC_URLS, item 2, must be an http://")


class TestKeys:
    def test_a_private_key_is_read_with_or_without_0x(self, folder: Path) -> None:
        env = NETWORK | {"ONSETTLE_PAYMENT_KEYS": f"0x{KEY.upper()},{OTHER_KEY}"}
        (section,) = load(env, folder).networks
        assert section.payment_keys == (SecretStr(f"0x{KEY}"), SecretStr(f"0x{OTHER_KEY}"))

    def test_a_keystore_is_found_beside_the_file_and_needs_its_password(self, folder: Path) -> None:
        (folder / "wallet.json").write_text("{}")
        env = NETWORK | {"ONSETTLE_MINT_KEYS": "wallet.json"}
        assert "ONSETTLE_KEYSTORE_PASSWORD" in problem(env, folder)
        (section,) = load(env | {"ONSETTLE_KEYSTORE_PASSWORD": "pass"}, folder).networks
        assert section.mint_keys == (SecretStr(str(folder / "wallet.json")),)

    def test_one_key_may_not_have_two_roles(self, folder: Path) -> None:
        keys = {"ONSETTLE_PAYMENT_KEYS": KEY, "ONSETTLE_MINT_KEYS": f"{OTHER_KEY},0x{KEY}"}
        said = problem(NETWORK | keys, folder)
        assert said.startswith("ONSETTLE_MINT_KEYS has a key that is in ONSETTLE_PAYMENT_KEYS too")

    def test_one_key_twice_in_a_list_is_refused(self, folder: Path) -> None:
        said = problem(NETWORK | {"ONSETTLE_PAYMENT_KEYS": f"{KEY},0x{KEY}"}, folder)
        assert said == "ONSETTLE_PAYMENT_KEYS has the same item twice."

    def test_a_mistyped_key_is_named_by_position_and_never_shown(self, folder: Path) -> None:
        said = problem(NETWORK | {"ONSETTLE_PAYMENT_KEYS": f"{KEY},{OTHER_KEY[:-1]}"}, folder)
        assert said.startswith("ONSETTLE_PAYMENT_KEYS, item 2, is neither a private key")
        assert OTHER_KEY[:8] not in said

    @pytest.mark.parametrize("between", [" ", ";", "\n", "/"])
    def test_keys_without_commas_are_told_so_and_never_shown(
        self, folder: Path, between: str
    ) -> None:
        """Four keys in one item are longer than a file's name may be."""
        for pairs in (1, 2, 40):
            keys = between.join([KEY, OTHER_KEY] * pairs)
            said = problem(NETWORK | {"ONSETTLE_PAYMENT_KEYS": keys}, folder)
            assert said.startswith("ONSETTLE_PAYMENT_KEYS, item 1, is neither a private key")
            assert said.endswith("separate keys by commas.")
            assert KEY[:8] not in said

    def test_a_home_folder_that_is_not_there_is_told(self, folder: Path) -> None:
        """For a keystore, the data folder and the file itself, without the value."""
        for name in ("ONSETTLE_PAYMENT_KEYS", "ONSETTLE_DATA_DIR", "ONSETTLE_CONFIG"):
            said = problem(NETWORK | {name: "~nobody-of-this-name/x"}, folder)
            assert said.startswith(name)
            assert "home folder (~) that this machine does not have" in said
            assert "nobody-of-this-name" not in said


class TestService:
    def test_other_machines_are_served_only_with_api_keys(self, folder: Path) -> None:
        assert "ONSETTLE_API_KEYS" in problem({"ONSETTLE_HOST": "0.0.0.0"}, folder)
        config = load({"ONSETTLE_HOST": "0.0.0.0", "ONSETTLE_API_KEYS": "one, two"}, folder)
        assert config.api_keys == (SecretStr("one"), SecretStr("two"))

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_loopback_needs_no_api_key(self, folder: Path, host: str) -> None:
        assert load({"ONSETTLE_HOST": host}, folder).host == host

    @pytest.mark.parametrize("host", ["::", "10.0.0.4", "onsettle.example", "127.0.0.1.example"])
    def test_every_other_host_is_not_loopback(self, folder: Path, host: str) -> None:
        assert problem({"ONSETTLE_HOST": host}, folder).startswith("ONSETTLE_HOST can be reached")

    @pytest.mark.parametrize("port", ["-1", "65536", "http", "4_021", "1.0"])
    def test_a_port_is_a_whole_number(self, folder: Path, port: str) -> None:
        said = problem({"ONSETTLE_PORT": port}, folder)
        assert said == "ONSETTLE_PORT must be a whole number from 0 to 65535."

    def test_a_webhook_needs_the_secret_that_signs_it(self, folder: Path) -> None:
        url = {"ONSETTLE_WEBHOOK_URL": "https://shop.example/hook"}
        assert "ONSETTLE_WEBHOOK_SECRET" in problem(url, folder)
        config = load(url | {"ONSETTLE_WEBHOOK_SECRET": SECRET}, folder)
        assert config.webhook_url == "https://shop.example/hook"
        assert config.webhook_secret == SecretStr(SECRET)

    @pytest.mark.parametrize("size", [0, 23, 65])
    def test_a_webhook_secret_has_24_to_64_bytes(self, folder: Path, size: int) -> None:
        secret = "whsec_" + base64.b64encode(bytes(size)).decode()
        said = problem({"ONSETTLE_WEBHOOK_SECRET": secret}, folder)
        assert said.startswith("ONSETTLE_WEBHOOK_SECRET must be whsec_")

    @pytest.mark.parametrize(
        "secret", [SECRET.removeprefix("whsec_"), "whsec_" + "ä" * 32, "whsec_@@"]
    )
    def test_a_webhook_secret_is_whsec_and_base64(self, folder: Path, secret: str) -> None:
        said = problem({"ONSETTLE_WEBHOOK_SECRET": secret}, folder)
        assert said.startswith("ONSETTLE_WEBHOOK_SECRET must be whsec_")

    def test_the_data_directory_is_absolute_from_the_start(self, folder: Path) -> None:
        config = load({"ONSETTLE_DATA_DIR": "state"}, folder)
        assert config.data_dir == folder / "state"

    @pytest.mark.parametrize("name", ["API_KEYS", "PAY_TO", "ASSETS", "PAYMENT_KEYS", "RPC_URLS"])
    def test_a_list_that_is_set_names_something(self, folder: Path, name: str) -> None:
        """A comma is not a list of keys: it would leave the service open to everybody."""
        said = problem({"ONSETTLE_RPC_URLS": RPC, f"ONSETTLE_{name}": " , ,"}, folder)
        assert said.startswith(f"ONSETTLE_{name} is set and names nothing")

    def test_other_variables_are_checked_too(self, folder: Path) -> None:
        env = {
            "DATABASE_URL": "mysql://localhost/x",
            "ONSETTLE_LOG_FORMAT": "xml",
            "ONSETTLE_ADMIN_TOKEN": "with spaces",
            "ONSETTLE_API_KEYS": "one,zwölf",
        }
        assert sorted(said.split()[0] for said in problems(env, folder)) == [
            "DATABASE_URL",
            "ONSETTLE_ADMIN_TOKEN",
            "ONSETTLE_API_KEYS,",
            "ONSETTLE_LOG_FORMAT",
        ]


class TestFile:
    def write(self, folder: Path, text: str, name: str = "onsettle.toml") -> None:
        (folder / name).write_text(text, encoding="utf-8")

    def test_it_has_the_same_names_in_lower_case_and_the_environment_wins(
        self, folder: Path
    ) -> None:
        self.write(
            folder,
            f"""
            database_url = "postgresql://db.example/onsettle"
            onsettle_port = 5000
            onsettle_host = "localhost"
            onsettle_api_keys = ["a", "b"]
            onsettle_rpc_urls = ["{RPC}"]
            onsettle_assets = "{USDC}"
            """,
        )
        config = load({"ONSETTLE_PORT": "6000"}, folder)
        assert config.database_url == "postgresql://db.example/onsettle"
        assert (config.host, config.port) == ("localhost", 6000)
        assert config.api_keys == (SecretStr("a"), SecretStr("b"))
        assert config.networks[0].config.name == "default"
        assert config.networks[0].config.rpc_urls == (RPC,)

    def test_each_network_is_a_table_and_shares_what_is_set_outside(self, folder: Path) -> None:
        self.write(
            folder,
            f"""
            onsettle_pay_to = "{PAYEE}"
            [networks.base]
            onsettle_rpc_urls = "{RPC}"
            onsettle_assets = "{USDC}"
            [networks.celo]
            onsettle_rpc_urls = "http://127.0.0.1:8546"
            onsettle_assets = "{TOKEN}"
            onsettle_pay_to = "{TOKEN}"
            """,
        )
        base, celo = load({"ONSETTLE_PAYMENT_KEYS": KEY}, folder).networks
        assert (base.config.name, celo.config.name) == ("base", "celo")
        assert base.config.assets == (USDC.lower(),)
        assert base.config.pay_to == (PAYEE.lower(),)
        assert celo.config.pay_to == (TOKEN.lower(),)
        assert base.payment_keys == celo.payment_keys == (SecretStr(f"0x{KEY}"),)

    def test_the_environment_wins_over_the_only_table(self, folder: Path) -> None:
        self.write(folder, f'[networks.base]\nonsettle_rpc_urls = "{RPC}"\n')
        (base,) = load({"ONSETTLE_RPC_URLS": "http://127.0.0.1:1"}, folder).networks
        assert (base.config.name, base.config.rpc_urls) == ("base", ("http://127.0.0.1:1",))

    def test_one_chains_variables_may_not_stand_for_several_networks(self, folder: Path) -> None:
        table = f'onsettle_rpc_urls = "{RPC}"\n'
        self.write(folder, f"[networks.a]\n{table}[networks.b]\n{table}")
        said = problem({"ONSETTLE_ASSETS": USDC}, folder)
        assert said.startswith("ONSETTLE_ASSETS is of one chain")

    def test_a_problem_in_a_table_names_the_network(self, folder: Path) -> None:
        self.write(
            folder, f'[networks.base]\nonsettle_rpc_urls = "{RPC}"\nonsettle_assets = ["0x1"]\n'
        )
        said = problem({}, folder)
        assert said.startswith("ONSETTLE_ASSETS in [networks.base], item 1, is not an address")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("onsettle_prot = 1", "ONSETTLE_PROT is not a name that belongs here."),
            ("ONSETTLE_PORT = 1", "ONSETTLE_PORT is not a name that belongs here."),
            ("onsettle_api_keys = 5", "ONSETTLE_API_KEYS must be text with commas, or a list."),
            ("onsettle_port = true", "ONSETTLE_PORT must be a whole number from 0 to 65535."),
            ("onsettle_host = 1", "ONSETTLE_HOST must be a valid string."),
            ("networks = 1", "networks must be tables: [networks.<name>]."),
            ("[networks]\nbase = 1", "networks must be tables: [networks.<name>]."),
            (
                f'[networks.a]\nonsettle_rpc_urls = "{RPC}"\nonsettle_port = 1',
                "ONSETTLE_PORT in [networks.a] is not a name that belongs here.",
            ),
            (
                f'onsettle_rpc_urls = "{RPC}"\nonsettle_payment_keys = [1]\n',
                "ONSETTLE_PAYMENT_KEYS, item 1, must be text.",
            ),
        ],
    )
    def test_what_does_not_belong_is_refused(self, folder: Path, text: str, says: str) -> None:
        self.write(folder, text)
        assert problem({}, folder) == says

    def test_another_file_may_be_named(self, folder: Path) -> None:
        self.write(folder, "onsettle_port = 1", "onsettle.toml")
        self.write(folder, "onsettle_port = 2", "other.toml")
        assert load({"ONSETTLE_CONFIG": "other.toml"}, folder).port == 2
        assert load({"ONSETTLE_CONFIG": str(folder / "other.toml")}, folder).port == 2

    def test_a_file_that_cannot_be_read_is_named(self, folder: Path) -> None:
        said = problem({"ONSETTLE_CONFIG": "absent.toml"}, folder)
        assert "absent.toml can't be read" in said
        self.write(folder, "this is not TOML")
        assert "onsettle.toml is not a TOML file" in problem({}, folder)
        (folder / "onsettle.toml").write_bytes(b"\xff")
        assert "onsettle.toml is not a TOML file" in problem({}, folder)


class TestSecrets:
    ENV = NETWORK | {
        "DATABASE_URL": "postgresql://user:dbpassword@db.example/onsettle",
        "ONSETTLE_PAYMENT_KEYS": KEY,
        "ONSETTLE_MINT_KEYS": OTHER_KEY,
        "ONSETTLE_KEYSTORE_PASSWORD": "keystorepassword",
        "ONSETTLE_API_KEYS": "apikey",
        "ONSETTLE_ADMIN_TOKEN": "admintoken",
        "ONSETTLE_WEBHOOK_URL": "https://user:hookpassword@shop.example/",
        "ONSETTLE_WEBHOOK_SECRET": SECRET,
    }
    HIDDEN = (
        "dbpassword",
        "hookpassword",
        "path-that-is-a-key",
        KEY,
        OTHER_KEY,
        "keystorepassword",
        "apikey",
        "admintoken",
        SECRET,
    )

    def test_no_secret_is_in_the_representation(self, folder: Path) -> None:
        config = load(self.ENV, folder)
        assert isinstance(config, Config)
        assert not [secret for secret in self.HIDDEN if secret in f"{config!r} {config}"]

    def test_all_problems_are_told_at_once_and_no_value_is(self, folder: Path) -> None:
        broken = {name: f"{value} \x00broken" for name, value in self.ENV.items()}
        with pytest.raises(ConfigError) as caught:
            load(broken, folder)
        named = {said.split()[0].rstrip(",") for said in caught.value.problems}
        # Any text can be a password.
        assert named == set(self.ENV) - {"ONSETTLE_KEYSTORE_PASSWORD"}
        assert not [secret for secret in self.HIDDEN if secret in str(caught.value)]
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("in_file", [False, True])
    @pytest.mark.parametrize(
        "mark", ["#", "/", "?", "@", ":", "%", "[", "]", " ", "℀", "/?", "?a=", "#/"]
    )
    @pytest.mark.parametrize("start", ["s3cret", "1234"])
    def test_a_password_that_breaks_the_url_is_never_told(
        self, folder: Path, start: str, mark: str, in_file: bool
    ) -> None:
        """A raw special character is refused, in the environment and in the file, with the way to
        write it and without any part of the password."""
        url = f"postgresql://u:{start}{mark}hush@h/db"
        if in_file:
            (folder / "onsettle.toml").write_text(f'database_url = "{url}"', encoding="utf-8")
        said = problem({} if in_file else {"DATABASE_URL": url}, folder)
        assert said.startswith("DATABASE_URL can't be read: percent-encode special characters")
        assert start not in said
        assert "hush" not in said

    @pytest.mark.parametrize(
        "url",
        [
            "postgres://h",
            "postgresql:///db",
            "postgresql://onsettle@/onsettle?host=/run/some-folder",
            "postgresql://u:p%23%2F%3A%40%25@h:5432/db",
            "postgresql://u@h1:5432,h2.example:5433/db?target_session_attrs=primary&sslmode=require",
            "postgresql://u:p@[::1]:5432,10.0.0.1/db?application_name=a%20b",
            "postgresql://u:p@%2Frun%2Fpostgresql/db",
            "postgresql://u@h/db?port=5432&password=a@b",
        ],
    )
    def test_a_url_that_drivers_read_is_taken_as_it_is(self, folder: Path, url: str) -> None:
        """One host or many, a socket, an IPv6 address, options, an encoded password."""
        assert load({"DATABASE_URL": url}, folder).database_url == url
