"""`/metrics`: the state of the whole database, and what this process knows of its endpoints."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from onsettle.api.bodies import need_key
from onsettle.domain.payment import PaymentStatus
from onsettle.domain.verdict import Health
from onsettle.engine.insights import Insights
from onsettle.engine.meters import Meters
from onsettle.engine.network import Network
from onsettle.runtime import Engine

_LATENCY_WORDS = {
    "accept_to_sent": "from acceptance until a node had the transaction",
    "accept_to_completed": "from acceptance to completion",
    "mined_to_completed": "from the time of its block to completion",
}


def metrics(engine: Engine, insights: Insights) -> APIRouter:
    routes = APIRouter(tags=["operations"])
    meters = Meters(engine.db)

    @routes.get("/metrics", summary="Figures for Prometheus")
    async def show(request: Request) -> Response:
        need_key(request, engine.config)
        await meters.update()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Page(await insights.read(), meters, list(engine.networks.values())))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes


class _Page:
    """One scrape: what was read before, as metrics."""

    def __init__(self, state: dict[str, Any], meters: Meters, networks: list[Network]) -> None:
        self._state = state
        self._meters = meters
        self._networks = networks

    def collect(self) -> Iterator[Metric]:
        yield from self._queues()
        yield from self._meters_of()
        yield from self._wallets()
        yield from self._chain()
        yield from self._rpc()
        yield from self._service()

    def _queues(self) -> Iterator[Metric]:
        depth = _gauge("onsettle_payments", "payments by status", "status")
        age = _gauge("onsettle_payments_oldest_seconds", "age of the oldest by status", "status")
        for status in PaymentStatus:
            found = self._state["payments"][status.value]
            depth.add_metric([status.value], found["count"])
            age.add_metric([status.value], found["oldest_age_s"] or 0)
        mints = _gauge("onsettle_mints", "mints by status", "status")
        for status_, count in self._state["mints"].items():
            mints.add_metric([status_], count)
        outbox = _gauge("onsettle_outbox", "deliveries that wait or were given up", "status")
        for name in ("pending", "dead"):
            outbox.add_metric([name], self._state["outbox"][name])
        yield from (depth, age, mints, outbox)

    def _meters_of(self) -> Iterator[Metric]:
        moves = CounterMetricFamily(
            "onsettle_payment_moves", "payments that came to a status", labels=["status"]
        )
        for status in PaymentStatus:
            moves.add_metric([status.value], self._meters.moves[status.value])
        yield moves
        for name, histogram in self._meters.latencies.items():
            family = HistogramMetricFamily(f"onsettle_{name}_seconds", _LATENCY_WORDS[name])
            family.add_metric([], histogram.cumulative(), histogram.sum)
            yield family

    def _wallets(self) -> Iterator[Metric]:
        labels = ("chain_id", "wallet", "role")
        families = {
            "balance": _gauge("onsettle_wallet_balance_wei", "what it holds", *labels),
            "needs_balance": _gauge(
                "onsettle_wallet_needs_wei", "what it must hold to go on; 0: enough", *labels
            ),
            "live": _gauge("onsettle_wallet_in_flight", "unmined transactions", *labels),
            "paused": _gauge("onsettle_wallet_paused", "1: paused by an operator", *labels),
            "keyed": _gauge("onsettle_wallet_keyed", "1: a live worker holds its key", *labels),
        }
        for wallet in self._state["wallets"]:
            values = [str(wallet["chain_id"]), wallet["address"], wallet["role"]]
            for name, family in families.items():
                family.add_metric(values, float(wallet[name] or 0))
        yield from families.values()

    def _chain(self) -> Iterator[Metric]:
        block = _gauge("onsettle_block_number", "last block acted on", "network")
        looked = _gauge("onsettle_chain_looked_seconds", "since the last look", "network")
        for network in self._state["networks"]:
            block.add_metric([network["network"]], network["block_number"] or 0)
            looked.add_metric([network["network"]], network["looked_ago_s"] or 0)
        yield from (block, looked)

    def _rpc(self) -> Iterator[Metric]:
        labels = ["network", "endpoint", "method"]
        calls = CounterMetricFamily(
            "onsettle_rpc_calls", "calls of this process, elements of batches", labels=labels
        )
        errors = CounterMetricFamily(
            "onsettle_rpc_errors", "calls that were not answered", labels=labels[:2]
        )
        height = _gauge("onsettle_rpc_height", "the block an endpoint is at", *labels[:2])
        for network in self._networks:
            name = f"eip155:{network.chain_id}"
            for end in network.pool.endpoints:
                for method, count in sorted(end.stats.by_method.items()):
                    calls.add_metric([name, end.name, method], count)
                errors.add_metric([name, end.name], end.stats.errors)
                height.add_metric([name, end.name], end.stats.height or 0)
        yield from (calls, errors, height)

    def _service(self) -> Iterator[Metric]:
        alarms = _gauge("onsettle_alarms", "open alarms", "kind")
        kinds = [alarm["kind"] for alarm in self._state["alarms"]]
        for kind in sorted(set(kinds)):
            alarms.add_metric([kind], kinds.count(kind))
        workers = GaugeMetricFamily(
            "onsettle_workers", "live workers", value=len(self._state["workers"])
        )
        health = _gauge("onsettle_health", "1 at what it is", "health")
        for each in Health:
            health.add_metric([each.value], float(self._state["health"] == each.value))
        yield from (alarms, workers, health)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=labels)
