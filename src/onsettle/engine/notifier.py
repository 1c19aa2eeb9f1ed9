"""The notifier: completed payments as Standard Webhooks, signed, retried, never redirected."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from importlib.metadata import version

import aiohttp
import orjson
import structlog

from onsettle import points
from onsettle.chain.faults import retry_after
from onsettle.domain.delivery import WEBHOOK_SCHEDULE, Failed
from onsettle.engine.alarms import raise_alarm
from onsettle.engine.courier import Courier
from onsettle.store.database import Database, Record

log = structlog.get_logger()

TIMEOUT_S = 20.0
# Longer than any delivery: what was taken by a process that died comes up again after it.
_LEASE_S = 1.5 * TIMEOUT_S
_QUOTED = 200
_BODY_S = 2.0
_GONE = "the endpoint answered 410 Gone: `onsettle webhooks enable` when it is back"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`webhook-signature` of Standard Webhooks: HMAC-SHA256 with the key of a `whsec_` secret."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class Notifier(Courier):
    """Posts the messages of the channel `webhook` to one URL."""

    channel = "webhook"
    schedule = WEBHOOK_SCHEDULE

    def __init__(self, db: Database, url: str, secret: str) -> None:
        super().__init__(db, _LEASE_S)
        self._url = url
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None
        self._open = False
        # The endpoint asked for a rest: until when, on the monotonic clock.
        self._rest_until = 0.0

    async def open(self) -> None:
        """From now on every completed payment leaves a message."""
        target = hashlib.sha256(self._url.encode()).hexdigest()
        disabled = await self._db.fetchval("channel_open", self.channel, target)
        if disabled:
            log.error("webhooks_disabled", why=disabled)
        self._open = True

    async def tick(self) -> float:
        if not self._open:
            await self.open()
        if self._session is None:
            self._session = _session()
        return await super().tick()

    def room(self) -> int:
        return 0 if time.monotonic() < self._rest_until else super().room()

    async def leave(self) -> None:
        try:
            await super().leave()
        finally:
            if self._session is not None:
                await self._session.close()
                self._session = None

    async def deliver(self, message: Record) -> Failed | None:
        if self._session is None:
            return Failed(error="stopping")
        body = orjson.dumps(message["body"])
        sent_at = int(time.time())
        id_ = str(message["id"])
        headers = {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": signature(self._secret, id_, sent_at, body),
        }
        points.reached("webhook:before")
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                points.reached("webhook:after")
                return await self._verdict(
                    response.status, response.headers, await _beginning(response)
                )
        except TimeoutError:
            return Failed(error=f"no answer within {TIMEOUT_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Never the URL: it may hold a token.
            return Failed(error=type(error).__name__)

    async def _verdict(self, status: int, headers: Mapping[str, str], said: str) -> Failed | None:
        if 200 <= status < 300:
            return None
        quoted = "".join(c for c in said if c.isprintable()).strip()
        words = f"HTTP {status}" + (f": {quoted}" if quoted else "")
        if status == 410:
            await self._db.execute("channel_disable", self.channel, _GONE)
            await raise_alarm(self._db, "webhook_gone", self.channel, _GONE)
            log.error("webhooks_disabled", why=_GONE)
            return Failed(error=_GONE, gone=True)
        if status not in (429, 502, 503, 504):
            return Failed(error=words)
        wait = max(retry_after(headers) or 0.0, 0.0)
        self._rest_until = time.monotonic() + min(wait or 1.0, 60.0)
        return Failed(error=words, retry_after=wait)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """What it says, to be quoted. The status is the verdict: a body that is slow, cut off or
    broken changes nothing.
    """
    try:
        async with asyncio.timeout(_BODY_S):
            return (await response.content.read(_QUOTED)).decode("utf-8", "replace")
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return ""


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        # What is never unpacked can't be made to grow.
        auto_decompress=False,
        headers={
            "user-agent": f"onsettle/{version('onsettle')}",
            "accept-encoding": "identity",
        },
    )
