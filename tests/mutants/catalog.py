"""One small way of breaking each promise, and the test that must turn red.

A mutant is text that is searched and replaced, so that it does not rot with line numbers.
"""

from dataclasses import dataclass

_FAULTS = "tests/integration/faults"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`promise` is the number in docs/reliability.md; `file` is below src/onsettle."""

    name: str
    promise: int
    file: str
    find: str
    put: str
    test: str


MUTANTS = (
    Mutant(
        name="an answer that was lost after the commit is taken as a refusal",
        promise=1,
        file="engine/commits.py",
        find="known = await self._read_again([c.request for c in candidates])",
        put="known = {}",
        test="tests/integration/api/test_intake.py::"
        "test_an_answer_that_is_lost_after_the_commit_is_read_again",
    ),
    Mutant(
        name="identities can be deleted",
        promise=2,
        file="store/migrations/0002_transitions.sql",
        find="create trigger payment_queue_identities_stay before delete on payment_queue",
        put="create trigger payment_queue_identities_stay before truncate on payment_queue",
        test="tests/integration/store/test_identities.py::test_identities_are_never_deleted",
    ),
    Mutant(
        name="bytes are broadcast before their row is committed",
        promise=3,
        file="engine/outgoing.py",
        find="            ids = await self._store(connection, ready, signed, nonces, fees)\n",
        put="            ids = await self._store(connection, ready, signed, nonces, fees)\n"
        "            await self._network.pool.broadcast([s.raw for s in signed])\n",
        test=f"{_FAULTS}/test_broadcast.py::test_no_bytes_reach_a_node_before_their_commit",
    ),
    Mutant(
        name="a nonce is given out twice",
        promise=4,
        file="store/queries/wallet_took.sql",
        find="next_nonce = $4",
        put="next_nonce = $4 - 1",
        test=f"{_FAULTS}/test_workers.py::test_a_worker_frozen_between_two_broadcasts_is_replaced",
    ),
    Mutant(
        name="the fence of a lease is not checked",
        promise=4,
        file="store/queries/wallet_lock.sql",
        find="and lease_term = $3 and lease_holder = $4 and lease_until > now()",
        put="and $3::bigint is not null and $4::text is not null",
        test=f"{_FAULTS}/test_workers.py::test_the_fence_refuses_whoever_does_not_hold_the_lease",
    ),
    Mutant(
        name="a gap stays open",
        promise=4,
        file="engine/wallet.py",
        find="if missing and view.pending <= low:",
        put="if False:",
        test=f"{_FAULTS}/test_nonces.py::test_gaps_among_fifty_in_flight_are_closed",
    ),
    Mutant(
        name="a nonce that others took is waited for",
        promise=4,
        file="engine/resolver.py",
        find='elif seen is None and tx["nonce"] < counts.get(tx["wallet"], 0):',
        put="elif False:",
        test=f"{_FAULTS}/test_nonces.py::test_payments_whose_nonces_were_taken_settle_under_others",
    ),
    Mutant(
        name="a replacement pays one percent more",
        promise=4,
        file="domain/fees.py",
        find="return -(-fee * 9 // 8) if fee else 1",
        put="return -(-fee * 101 // 100) if fee else 1",
        test="tests/unit/test_fees.py",
    ),
    Mutant(
        name="nothing waits for foreign transactions in the pool",
        promise=4,
        file="engine/wallet.py",
        find="        return not foreign\n",
        put="        return True\n",
        test=f"{_FAULTS}/test_wallet.py"
        "::test_nothing_is_signed_while_foreign_transactions_are_pending",
    ),
    Mutant(
        name="a payment goes back while its transaction may land",
        promise=4,
        file="store/migrations/0002_transitions.sql",
        find="where t.id = o.transaction_id and t.state = 'live')))",
        put="where t.id = o.transaction_id and t.state = 'none')))",
        test="tests/integration/store/test_transitions.py"
        "::test_nothing_goes_back_to_pending_under_a_live_transaction",
    ),
    Mutant(
        name="an event completes without its own transfer",
        promise=5,
        file="domain/outcome.py",
        find="and use.transfer.recipient == pay_to\n        and use.transfer.value == amount",
        put="",
        test=f"{_FAULTS}/test_authorization.py"
        "::test_another_authorization_under_the_same_nonce_delivers_nothing",
    ),
    Mutant(
        name="a transfer completes at any depth",
        promise=5,
        file="engine/confirmer.py",
        find="deep = head.number - block.number + 1 >= settings.payment_confirmations",
        put="deep = True",
        test=f"{_FAULTS}/test_reorg.py::test_a_transfer_undone_before_its_depth_may_never_complete",
    ),
    Mutant(
        name="a reorg withdraws no evidence",
        promise=5,
        file="store/queries/payments_withdrawn.sql",
        find="(block_number > $2 and not final or",
        put="(false or",
        test=f"{_FAULTS}/test_reorg.py::test_a_payment_undone_after_it_completed_comes_back",
    ),
    Mutant(
        name="a log that was removed is evidence",
        promise=5,
        file="chain/logs.py",
        find='or entry.get("removed") not in (None, False)',
        put='or entry.get("removed") == "never"',
        test="tests/unit/chain/test_logs.py",
    ),
    Mutant(
        name="a completed payment delivers nothing",
        promise=6,
        file="engine/fulfilment.py",
        find='    await fulfil(connection, [r["id"] for r in rows])\n    return',
        put="    return",
        test="tests/integration/test_main_job.py",
    ),
    Mutant(
        name="one unit too many is delivered",
        promise=6,
        file="store/queries/payments_fulfil.sql",
        find="    p.quantity) as unit",
        put="    p.quantity + 1) as unit",
        test="tests/integration/test_main_job.py",
    ),
    Mutant(
        name="the keys of two units repeat",
        promise=6,
        file="store/queries/payments_fulfil.sql",
        find="p.id::text || ':' || unit",
        put="p.id::text || ':'",
        test="tests/integration/test_main_job.py",
    ),
    Mutant(
        name="each try of a webhook has another id",
        promise=6,
        file="engine/notifier.py",
        find='id_ = str(message["id"])',
        put='id_ = f"{message["id"]}-{time.monotonic()}"',
        test="tests/integration/webhooks/test_notifier.py"
        "::test_a_failed_delivery_is_tried_again_under_the_same_id",
    ),
    Mutant(
        name="what a reorg took back waits for an operator",
        promise=6,
        file="domain/outcome.py",
        find="if undone and carrier is Carrier.GONE and not expired:",
        put="if False:",
        test=f"{_FAULTS}/test_reorg.py"
        "::test_a_completion_whose_nonce_is_taken_in_a_reorg_is_charged_again",
    ),
    Mutant(
        name="the audit forgives a few wei",
        promise=7,
        file="engine/audit/gas.py",
        find="if fallen > expected:",
        put="if fallen > expected + 10:",
        test="tests/integration/audit/test_chain.py"
        "::test_money_that_leaves_a_wallet_beside_gas_is_reported_to_the_wei",
    ),
    Mutant(
        name="a stuck transaction that expired burns gas",
        promise=7,
        file="engine/wallet.py",
        find='dead = not row["noop"] and (refused or await',
        put="dead = False and (refused or await",
        test=f"{_FAULTS}/test_deadlines.py::test_a_stuck_transaction_that_expired_becomes_a_no_op",
    ),
    Mutant(
        name="what the payer can't cover is sent",
        promise=7,
        file="engine/triage.py",
        find="elif balance < value and _seen_since(candidate, view):",
        put="elif False:",
        test=f"{_FAULTS}/test_authorization.py"
        "::test_what_a_payer_can_not_cover_fails_before_any_gas_is_spent",
    ),
    Mutant(
        name="what another wallet is about to sign for is not counted",
        promise=7,
        file="engine/sender.py",
        find="in_flight = drawn + Counter(",
        put="in_flight = Counter[Purse]() + Counter(",
        test="tests/integration/test_payment_feed.py"
        "::test_wallets_take_one_payers_payments_at_once_and_never_overdraw_together",
    ),
    Mutant(
        name="one failing member fails its pack",
        promise=8,
        file="engine/packing.py",
        find="abi.aggregate3([(c.asset, True, c.call) for c in pack])",
        put="abi.aggregate3([(c.asset, False, c.call) for c in pack])",
        test=f"{_FAULTS}/test_packing.py::test_one_that_fails_inside_a_pack_fails_alone",
    ),
    Mutant(
        name="two seconds of validity are enough",
        promise=9,
        file="engine/triage.py",
        find="_TOO_SHORT_S = 4",
        put="_TOO_SHORT_S = 0",
        test=f"{_FAULTS}/test_deadlines.py::test_two_seconds_of_validity_are_too_few_to_sign",
    ),
    Mutant(
        name="a timeout is the end",
        promise=10,
        file="store/queries/payments_timed_out.sql",
        find="reason = 'timeout', final = false",
        put="reason = 'timeout', final = true",
        test=f"{_FAULTS}/test_outage.py::test_a_timeout_is_not_an_end",
    ),
    Mutant(
        name="other bytes with our nonce are taken for ours",
        promise=3,
        file="chain/answers.py",
        find="return self in (SendKind.ACCEPTED, SendKind.ALREADY_KNOWN)",
        put="return self in tuple(SendKind)[:5]",
        test="tests/unit/chain/test_answers.py",
    ),
)
