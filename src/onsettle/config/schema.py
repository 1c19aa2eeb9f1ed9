"""What the configuration holds, and the rules between its values."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from onsettle.config.values import (
    AbsolutePath,
    Address,
    BearerToken,
    DatabaseUrl,
    HttpUrl,
    Items,
    Key,
    MintableToken,
    Port,
    WebhookSecret,
    is_loopback,
)
from onsettle.domain.network import MULTICALL3, MintToken, NetworkConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSection:
    """One network with its keys: each a private key, or the path of an encrypted keystore."""

    config: NetworkConfig = field(repr=False)  # a path in an RPC URL is often an API key
    payment_keys: tuple[SecretStr, ...] = ()
    mint_keys: tuple[SecretStr, ...] = ()


class _Names(BaseModel):
    model_config = ConfigDict(
        alias_generator="onsettle_{}".format,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )


class NetworkTable(_Names):
    rpc_urls: Annotated[tuple[HttpUrl, ...], Items]
    assets: Annotated[tuple[Address, ...], Items] = ()
    pay_to: Annotated[tuple[Address, ...], Items] = ()
    mint_tokens: Annotated[tuple[MintableToken, ...], Items] = ()
    multicall: Address = MULTICALL3
    payment_keys: Annotated[tuple[Key, ...], Items] = ()
    mint_keys: Annotated[tuple[Key, ...], Items] = ()

    @field_validator("rpc_urls")
    @classmethod
    def _an_endpoint(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("is missing: a network needs at least one endpoint")
        return urls

    @field_validator("rpc_urls", "assets", "pay_to", "payment_keys", "mint_keys")
    @classmethod
    def _once_each(cls, items: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(items)) < len(items):
            raise ValueError("has the same item twice")
        return items

    @field_validator("mint_tokens")
    @classmethod
    def _payable(cls, tokens: tuple[MintToken, ...], info: ValidationInfo) -> tuple[MintToken, ...]:
        if len({token.address for token in tokens}) < len(tokens):
            raise ValueError("has the same token twice")
        accepted = info.data.get("pay_to")
        if accepted and any(token.payee not in (None, *accepted) for token in tokens):
            raise ValueError("has a payee that ONSETTLE_PAY_TO does not accept")
        return tokens

    @field_validator("mint_keys")
    @classmethod
    def _one_role(cls, keys: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        if set(keys) & set(info.data.get("payment_keys", ())):
            raise ValueError(
                "has a key that is in ONSETTLE_PAYMENT_KEYS too: a key has one nonce sequence, "
                "so it has one role"
            )
        return keys

    def section(self, name: str) -> NetworkSection:
        config = NetworkConfig(
            name=name,
            rpc_urls=self.rpc_urls,
            assets=self.assets,
            mint_tokens=self.mint_tokens,
            pay_to=self.pay_to,
            multicall=self.multicall,
        )
        return NetworkSection(
            config=config, payment_keys=self.payment_keys, mint_keys=self.mint_keys
        )


class Config(_Names):
    """The boot configuration. `log_format` None means by terminal; `database_url` None, embedded.

    Without a configured network `networks` is empty.
    """

    database_url: DatabaseUrl | None = Field(default=None, alias="database_url", repr=False)
    data_dir: AbsolutePath = Field(
        default_factory=lambda: user_data_path("onsettle", appauthor=False)
    )
    networks: tuple[InstanceOf[NetworkSection], ...] = Field(default=(), alias="networks")
    keystore_password: SecretStr | None = None
    api_keys: Annotated[tuple[BearerToken, ...], Items] = ()
    admin_token: BearerToken | None = None
    log_format: Literal["console", "json"] | None = None
    webhook_secret: WebhookSecret | None = None
    webhook_url: HttpUrl | None = Field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: Port = 4021

    @field_validator("webhook_url")
    @classmethod
    def _signed(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url and info.data.get("webhook_secret", "invalid") is None:
            raise ValueError("needs ONSETTLE_WEBHOOK_SECRET, which signs what is sent there")
        return url

    @field_validator("host")
    @classmethod
    def _guarded(cls, host: str, info: ValidationInfo) -> str:
        if not is_loopback(host) and not info.data.get("api_keys", ("invalid",)):
            raise ValueError(
                "can be reached from other machines, and without ONSETTLE_API_KEYS anyone could "
                "submit: set API keys, or bind 127.0.0.1"
            )
        return host
