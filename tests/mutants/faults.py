"""Every fault that has been met in the field, and the tests that live through it."""

from enum import StrEnum


class Fault(StrEnum):
    """One sentence each; the table of docs/reliability.md is made of them."""

    REPORTED_FAILED = "bytes were taken, and the node says that they failed"
    REPORTED_TAKEN = "a node says that it took the bytes, and drops them"
    KILLED_BEFORE_BROADCAST = "killed between the signing commit and the broadcast"
    KILLED_AFTER_BROADCAST = "killed between the broadcast and `sent`"
    NONCE_TAKEN = "a foreign transaction takes our nonce"
    FRONT_RUN = "a third party submits our authorization first"
    CANCELLED = "the payer cancels before we land"
    OTHER_USE = "the payer lands another authorization of the same nonce"
    FEE_ON_TRANSFER = "the token keeps a part of what is transferred"
    LETTER_CASE = "the same authorization again: in other letter case, after a year"
    OVERDRAWN = "several authorizations together overdraw the payer"
    BLACKLISTED = "the payer is blacklisted, before sending or before mining"
    TOKEN_PAUSED = "the payment token is paused, before sending or before mining"
    EXPIRES_IN_QUEUE = "the authorization expires in the queue"
    EXPIRES_SENT = "the authorization expires while it is sent"
    TWO_SECONDS = "two seconds of validity are left at signing"
    BASE_FEE = "the base fee rises tenfold"
    OLDER_ATTEMPT = "an older attempt mines instead of the newest"
    NONCE_GAP = "a nonce goes missing among fifty in flight"
    REORG = "a reorg of 1, 3 or 10 blocks, before and after `completed`"
    REVERSED = "a completion is undone for good"
    NODE_DEAD = "no node for longer than the timeout"
    WORKERS_STOPPED = "no worker for longer than the timeout"
    DAYS_AWAY = "days away, and a node that limits ranges"
    NODE_LAGS = "a lagging node has no receipt, no log, or an old nonce count"
    HAND_EDIT = "the guide's UPDATE runs, and the transaction lands"
    MINT_REVERTS = "the mint transaction reverts"
    MINT_CAP = "the mint supply cap is reached"
    WALLET_DRY = "a wallet runs dry"
    MINT_PAUSED = "the mint token is paused"
    POSTGRES_RESTARTS = "PostgreSQL dies under load and comes back"
    WORKER_FROZEN = "a worker is stopped for longer than its lease"
    FROZEN_IN_COMMIT = "a worker is stopped inside the signing or the confirming commit"
    OLD_BACKUP = "an older backup is restored"
    NOT_AT_HEAD = "the blocks since the backup are not read yet"
    NO_KEY = "a wallet with live transactions has no key any more"
    FOREIGN_PENDING = "the key has foreign transactions in the pool at the first start"
    KEY_SHARED = "others go on using the key"
    DISK_FULL = "the disk is full"
    READ_ONLY = "the database is read-only"


TESTS: dict[Fault, tuple[str, ...]] = {
    Fault.REPORTED_FAILED: (
        "test_bytes_that_were_taken_and_reported_as_failed",
        "test_bytes_that_were_taken_while_the_client_stopped_waiting",
        "test_an_error_is_no_proof_that_bytes_were_refused",
    ),
    Fault.REPORTED_TAKEN: (
        "test_bytes_that_were_reported_as_taken_and_are_nowhere",
        "test_bytes_that_the_node_forgot_are_offered_again",
    ),
    Fault.KILLED_BEFORE_BROADCAST: ("test_a_process_killed_between_commit_and_broadcast",),
    Fault.KILLED_AFTER_BROADCAST: ("test_a_process_killed_between_broadcast_and_sent",),
    Fault.NONCE_TAKEN: ("test_payments_whose_nonces_were_taken_settle_under_others",),
    Fault.FRONT_RUN: (
        "test_a_strangers_landing_completes_the_payment_and_ours_reverts",
        "test_a_pack_member_that_a_stranger_lands_first_completes_under_theirs",
    ),
    Fault.CANCELLED: ("test_a_cancelled_authorization_is_final_and_mints_nothing",),
    Fault.OTHER_USE: ("test_another_authorization_under_the_same_nonce_delivers_nothing",),
    Fault.FEE_ON_TRANSFER: ("test_a_fee_on_transfer_completes_nothing",),
    Fault.LETTER_CASE: ("test_the_same_authorization_is_one_payment_for_ever",),
    Fault.OVERDRAWN: (
        "test_what_a_payer_can_not_cover_fails_before_any_gas_is_spent",
        "test_wallets_take_one_payers_payments_at_once_and_never_overdraw_together",
    ),
    Fault.BLACKLISTED: (
        "test_a_payer_blocked_before_sending_fails_unsent",
        "test_a_payer_blocked_before_mining_is_not_charged",
    ),
    Fault.TOKEN_PAUSED: (
        "test_a_paused_token_holds_its_payments",
        "test_a_token_paused_before_mining_charges_nobody",
    ),
    Fault.EXPIRES_IN_QUEUE: ("test_a_payment_that_expires_in_the_queue_costs_no_gas",),
    Fault.EXPIRES_SENT: ("test_a_stuck_transaction_that_expired_becomes_a_no_op",),
    Fault.TWO_SECONDS: ("test_two_seconds_of_validity_are_too_few_to_sign",),
    Fault.BASE_FEE: (
        "test_a_tenfold_base_fee_is_followed_within_the_rules",
        "test_a_replacement_pays_an_eighth_more_on_both_fees_or_is_not_made",
    ),
    Fault.OLDER_ATTEMPT: ("test_an_older_attempt_may_be_the_one_that_mines",),
    Fault.NONCE_GAP: ("test_gaps_among_fifty_in_flight_are_closed",),
    Fault.REORG: (
        "test_a_payment_undone_after_it_completed_comes_back",
        "test_a_payment_undone_before_its_depth_completes_later",
        "test_payments_mined_again_in_another_order_settle_once",
        "test_a_transfer_undone_before_its_depth_may_never_complete",
        "test_mints_that_a_reorg_takes_back_are_mined_again_once",
    ),
    Fault.REVERSED: (
        "test_a_completion_that_can_not_come_back_is_reversed_aloud",
        "test_what_was_told_of_a_payment_that_was_reversed_is_a_loss",
        "test_a_completion_whose_block_is_gone_is_not_hidden",
        "test_a_completion_whose_nonce_is_taken_in_a_reorg_is_charged_again",
    ),
    Fault.NODE_DEAD: ("test_a_dead_node_changes_no_outcome",),
    Fault.WORKERS_STOPPED: (
        "test_stopped_workers_change_no_outcome",
        "test_a_timeout_is_not_an_end",
    ),
    Fault.DAYS_AWAY: (
        "test_days_away_are_caught_up_by_ranges",
        "test_a_reorg_while_nobody_looked_is_found_when_catching_up",
    ),
    Fault.NODE_LAGS: (
        "test_a_node_that_lags_fails_nothing",
        "test_what_a_node_does_not_show_proves_nothing",
        "test_a_landing_that_a_node_does_not_show_is_not_charged_again",
    ),
    Fault.HAND_EDIT: (
        "test_what_was_given_up_by_hand_and_lands_is_delivered_once",
        "test_a_retry_by_hand_is_refused_while_bytes_may_land",
    ),
    Fault.MINT_REVERTS: ("test_a_mint_that_reverts_is_tried_again",),
    Fault.MINT_CAP: ("test_mints_above_the_cap_wait_and_say_so",),
    Fault.WALLET_DRY: (
        "test_a_dry_mint_wallet_says_what_it_needs",
        "test_a_dry_payment_wallet_holds_payments_and_fails_none",
        "test_what_a_wallet_has_signed_lands_as_it_is_when_it_was_dry_meanwhile",
    ),
    Fault.MINT_PAUSED: ("test_mints_of_a_paused_token_wait_and_say_so",),
    Fault.POSTGRES_RESTARTS: ("test_a_killed_database_loses_nothing_that_was_acknowledged",),
    Fault.WORKER_FROZEN: (
        "test_a_frozen_worker_neither_holds_nor_doubles_its_payments",
        "test_a_worker_frozen_between_two_broadcasts_is_replaced",
        "test_a_worker_frozen_while_bumping_is_replaced",
        "test_the_fence_refuses_whoever_does_not_hold_the_lease",
        "test_a_confirmer_frozen_past_its_lease_neither_holds_nor_doubles_anything",
        "test_the_fence_of_a_network_refuses_whoever_does_not_hold_the_lease",
        "test_a_confirmer_that_was_replaced_while_it_read_writes_nothing",
        "test_a_commit_that_outlasts_the_trust_in_its_lease_is_undone",
    ),
    Fault.FROZEN_IN_COMMIT: (
        "test_a_frozen_worker_neither_holds_nor_doubles_its_payments",
        "test_a_confirmer_frozen_past_its_lease_neither_holds_nor_doubles_anything",
    ),
    Fault.OLD_BACKUP: (
        "test_a_restored_backup_repeats_nothing",
        "test_ids_nonces_mints_and_webhooks_do_not_repeat",
    ),
    Fault.NOT_AT_HEAD: ("test_nothing_is_signed_before_the_missed_blocks_are_read",),
    Fault.NO_KEY: ("test_a_wallet_that_owes_the_chain_without_a_key_is_an_alarm",),
    Fault.FOREIGN_PENDING: ("test_nothing_is_signed_while_foreign_transactions_are_pending",),
    Fault.KEY_SHARED: ("test_a_key_that_others_go_on_using_settles_all_the_same",),
    Fault.DISK_FULL: ("test_a_full_disk_refuses_clearly_and_loses_nothing",),
    Fault.READ_ONLY: ("test_a_read_only_database_refuses_clearly_and_loses_nothing",),
}
