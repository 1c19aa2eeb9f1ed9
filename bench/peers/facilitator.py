"""The official x402 facilitator in Python, settling the benchmark's payments.

Reads one JSON job from standard input, prints one JSON answer. The SDK's settle function is called
directly, without an HTTP server in front of it; threads, since it blocks until the receipt is seen.
"""

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from eth_utils import to_checksum_address
from x402 import x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.schemas import PaymentPayload, PaymentRequirements


def main() -> None:
    job = json.load(sys.stdin)
    network = f"eip155:{job['chain_id']}"
    facilitator = x402FacilitatorSync()
    signer = FacilitatorWeb3Signer(private_key=job["key"], rpc_url=job["rpc_url"])
    register_exact_evm_facilitator(facilitator, signer, networks=network)

    def settle(authorization: dict[str, str]) -> str:
        authorization = dict(authorization)
        signature = authorization.pop("signature")
        for name in ("from", "to"):
            authorization[name] = to_checksum_address(authorization[name])
        requirements = PaymentRequirements(
            scheme="exact",
            network=network,
            asset=to_checksum_address(job["asset"]),
            amount=authorization["value"],
            pay_to=authorization["to"],
            max_timeout_seconds=300,
            extra={"name": job["name"], "version": job["version"]},
        )
        payload = PaymentPayload(
            payload={"signature": signature, "authorization": authorization},
            accepted=requirements,
        )
        answer = facilitator.settle(payload, requirements)
        why = f"{answer.error_reason}: {answer.error_message}"
        return "settled" if answer.success else why[:200]

    started = time.time()
    with ThreadPoolExecutor(job["at_once"]) as threads:
        answers = Counter(threads.map(settle, job["payments"]))
    seconds = time.time() - started
    settled = answers.pop("settled", 0)
    cpu = time.process_time()
    print(
        json.dumps(
            {"settled": settled, "seconds": seconds, "cpu_seconds": cpu, "failures": answers}
        )
    )


main()
