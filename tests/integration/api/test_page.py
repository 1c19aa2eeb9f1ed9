"""The operator's page: whole in itself, safe, and true to what the service says."""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import sys
from html import escape
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.harness.stack import ids_of
from tests.integration.api.conftest import ADMIN, KEY, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HARNESS = Path(__file__).with_name("page.mjs")


def _node() -> str:
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.exists() else shutil.which("node")
    assert found, "the set-up brings a node"
    return found


async def _said(api: Api, folder: Path, token: str) -> dict[str, Any]:
    """What the page shows to somebody with this token."""
    document = folder / "page.html"
    document.write_text((await api.http.get("/")).text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        _node(), str(_HARNESS), str(document), str(api.http.base_url), token,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()[-2000:]
    said: dict[str, Any] = json.loads(out)
    assert said["failures"] == []
    return said


async def test_the_page_is_whole_and_lets_nothing_else_run(guarded: Api) -> None:
    """No other host is named, and the policy admits exactly this script and this style."""
    response = await guarded.http.get("/")
    _is_whole(response, "script", "style")


async def test_the_api_is_described_by_a_page_that_needs_nothing_else(guarded: Api) -> None:
    """Offline too: each route with its parameters, answers and schemas, as the OpenAPI document has
    them; every link leads somewhere, and no script runs."""
    response = await guarded.http.get("/docs")
    _is_whole(response, "style")
    page = response.text
    assert "<script" not in page
    openapi = (await guarded.http.get("/openapi.json")).json()
    wanted = set()
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            wanted |= {f">{method.upper()}<", f"<code>{path}</code>", escape(operation["summary"])}
            wanted |= {f"<code>{each['name']}</code>" for each in operation.get("parameters", ())}
            wanted |= {f">{status}</span>" for status in operation["responses"]}
    for name, schema in openapi["components"]["schemas"].items():
        wanted |= {f'id="schema-{name}"'}
        wanted |= {f"<code>{field}</code>" for field in schema.get("properties", ())}
    assert [words for words in sorted(wanted) if words not in page] == []
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links - set(re.findall(r' id="([^"]+)"', page)) == set()
    assert "schema-PaymentBody" in links
    assert (await guarded.http.get("/redoc")).status_code == 404


def _is_whole(response: httpx.Response, *parts: str) -> None:
    """A page that names no other host, and whose policy admits only these parts of it."""
    assert response.headers["content-type"].startswith("text/html")
    hosts = set(re.findall(r"https?://([\w.-]+)", response.text))
    assert hosts <= {"www.w3.org"}
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in parts:
        [inside] = re.findall(rf"<{tag}>([^\0]*?)</{tag}>", response.text)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "style=" not in response.text
    assert "innerHTML" not in response.text


async def test_the_page_shows_what_the_service_says(guarded: Api, tmp_path: Path) -> None:
    """Health, depths, wallets, chains and the newest payments are on it; one click opens one."""
    payers = await guarded.stack.payers(3)
    bodies = [guarded.stack.body(guarded.engine, payer) for payer in payers]
    bodies[0]["metadata"]["note"] = "<img src=x onerror=alert(1)>"
    ids: list[UUID] = ids_of(await guarded.engine.intake.submit_many(bodies))
    await guarded.stack.all_are(guarded.engine, ids, "completed")
    said = await _said(guarded, tmp_path, ADMIN)
    text = said["text"]
    assert text["health"] in ("healthy", "degraded"), text["reasons"]
    for status in ("pending", "sent", "completed", "confirmation failed"):
        assert status in text["flow"]
    assert guarded.stack.wallets[0][:8] in text["wallets"]
    assert "answers" in text["chains"]
    assert sum(str(id_)[:8] in text["payments"] for id_ in ids) == 3
    assert "accepted" in text["detail"]
    assert re.search(r"completed.*landed", text["detail"])
    assert (said["admin"], said["pausable"]) == (True, True)


async def test_only_the_admin_token_shows_buttons(guarded: Api, tmp_path: Path) -> None:
    """With an API key the page reads; without one it asks for it."""
    reader = await _said(guarded, tmp_path, KEY)
    assert (reader["admin"], reader["pausable"]) == (False, False)
    stranger = await _said(guarded, tmp_path, "")
    assert "wants an API key" in stranger["text"]["reasons"]
    assert stranger["text"]["wallets"] == ""
