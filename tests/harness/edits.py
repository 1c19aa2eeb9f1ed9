"""Everything that books can say wrongly, planted by SQL, and what `verify` must say of it."""

from onsettle.chain.crypto import keccak

#: (what is planted, the statement, what the report must say besides the payment's id)
EDITS = [
    (
        "a completion that never happened",
        "update payment_queue set authorization_nonce = '0x' || repeat('ab', 32) where id = $1",
        "it is completed, and the chain has no transfer that pays it",
    ),
    (
        "another amount than was charged",
        "update payment_queue set amount = amount + 1 where id = $1",
        "it is completed, and the chain has no transfer that pays it",
    ),
    (
        "another recipient than was paid",
        "update payment_queue set pay_to = '0x' || repeat('22', 20) where id = $1",
        "it is completed, and the chain has no transfer that pays it",
    ),
    (
        "a charge that was forgotten",
        "update payment_queue set status = 'failed', final = false where id = $1",
        "on the chain pays it",
    ),
    (
        "evidence of another transaction",
        "update payment_queue set tx_hash = '0x' || repeat('cd', 32) where id = $1",
        "the books name 0xcdcd",
    ),
    (
        "evidence of another block",
        "update payment_queue set block_number = block_number + 1 where id = $1",
        "the books name",
    ),
    (
        "a failure for good that can still be charged",
        (
            "update payment_queue set status = 'failed', final = true, tx_hash = null,"
            " authorization_nonce = '0x' || repeat('ab', 32) where id = $1"
        ),
        "it is failed for good, and it can still be charged",
    ),
    (
        "a journal with a step left out",
        "delete from payment_events where payment_id = $1 and to_status = 'processing'",
        "its events do not replay to its status",
    ),
    (
        "a journal that ends elsewhere",
        "delete from payment_events where payment_id = $1 and to_status = 'completed'",
        "its events do not replay to its status",
    ),
    (
        "a step that does not exist",
        (
            "update payment_events set from_status = 'completed' where payment_id = $1"
            " and to_status = 'processing'"
        ),
        "its events do not replay to its status",
    ),
    (
        "a mint that was forgotten",
        "delete from mint_queue where payment_id = $1 and unit = 2",
        "2 mints were paid for, 1 are queued",
    ),
    (
        "a mint too many",
        (
            "insert into mint_queue (payer_address, tx_hash_bytes32, token_address, chain_id,"
            " payment_id, unit) select payer_address, '0x' || repeat('ef', 32), token_address,"
            " chain_id, payment_id, 3 from mint_queue where payment_id = $1 and unit = 1"
        ),
        "2 mints were paid for, 3 are queued",
    ),
    (
        "a mint that never happened",
        (
            "update mint_queue set tx_hash_bytes32 = '0x' || repeat('ef', 32)"
            " where payment_id = $1 and unit = 1"
        ),
        "it is completed, and the chain has no such mint",
    ),
    (
        "a mint for somebody else",
        (
            "update mint_queue set payer_address = '0x' || repeat('33', 20)"
            " where payment_id = $1 and unit = 1"
        ),
        "minted to",
    ),
    (
        "a mint that was given up",
        (
            "update mint_queue set tx_hash_bytes32 = '0x' || repeat('ef', 32), status = 'failed'"
            " where payment_id = $1 and unit = 1"
        ),
        "paid for, and given up",
    ),
    (
        "a mint under a key that is not its own",
        (
            "update mint_queue set tx_hash_bytes32 = '0x' || repeat('ef', 32)"
            " where payment_id = $1 and unit = 1"
        ),
        "is not the one of unit 1",
    ),
    (
        "an id that is not that of its identity",
        ("update payment_queue set authorization_nonce = '0x' || repeat('ab', 32) where id = $1"),
        "its id is not the one of its identity",
    ),
    (
        "another amount than was signed",
        "update payment_queue set amount = amount + 1 where id = $1",
        "was signed",
    ),
    (
        "another recipient than was signed",
        "update payment_queue set pay_to = '0x' || repeat('22', 20) where id = $1",
        "its pay_to is 0x2222",
    ),
    (
        "another window than was signed",
        "update payment_queue set valid_after = valid_after + 1 where id = $1",
        "its valid_after is",
    ),
    (
        "another deadline than was signed",
        "update payment_queue set valid_before = valid_before - 1 where id = $1",
        "its valid_before is",
    ),
    (
        "signed content that is a float",
        (
            'update payment_queue set "authorization" ='
            """ "authorization" || '{"value": 10000.0}' where id = $1"""
        ),
        "and None was signed",
    ),
    (
        "a message that was not written",
        (
            "with gone as (delete from outbox where payment_id = $1) update payment_queue"
            " set completed_at = now() + interval '1 minute' where id = $1"
        ),
        "no message for the channel webhook",
    ),
    (
        "a message of something that never happened",
        "delete from payment_events where payment_id = $1 and to_status = 'completed'",
        "and it never did",
    ),
    (
        "a message of a completion that was taken back",
        "update payment_queue set status = 'confirmation_failed', final = false where id = $1",
        "was told that payment",
    ),
    (
        "a message under an id of its own",
        "update outbox set id = gen_random_uuid() where payment_id = $1",
        "its id is not the one of its event",
    ),
    (
        "goods for a payment that did not complete",
        "update payment_queue set status = 'failed', final = false where id = $1",
        "minted, and the payment is not completed",
    ),
]


#: The same for transactions: the report names the wallet's address or the transaction.
TRANSACTION_EDITS = [
    (
        "a nonce without a row",
        "delete from transactions where nonce = 1 and wallet = $1",
        "1 to 1 were used by transactions that are not in these books",
    ),
    (
        "the first nonces without rows",
        "delete from transactions where nonce < 2 and wallet = $1",
        "0 to 1 were used by transactions that are not in these books",
    ),
    (
        "first nonces that nobody used",
        "update transactions set nonce = nonce + 9, state = 'live' where wallet = $1",
        "nonces 3 to 8 are in no row: a gap",
    ),
    (
        "a nonce that leaves a gap",
        (
            "update transactions set nonce = nonce + 7, state = 'live', mined_hash = null"
            " where nonce = 2 and wallet = $1"
        ),
        "nonces 3 to 8 are in no row: a gap",
    ),
    (
        "a transaction that the chain does not have",
        (
            "update transactions set nonce = nonce + 1, mined_hash = '0x' || repeat('ab', 32)"
            " where nonce = 2 and wallet = $1"
        ),
        "has another chain, nonce or value",
    ),
    (
        "a reverted transaction that succeeded",
        "update transactions set state = 'reverted' where nonce = 2 and wallet = $1",
        "it is reverted, and",
    ),
    (
        "a replaced transaction that was mined",
        "update transactions set state = 'replaced' where nonce = 2 and wallet = $1",
        "it is replaced, and",
    ),
    (
        "bytes that are not those of the hash",
        (
            "update attempts set raw = raw || '\\x00' where hash = (select mined_hash"
            " from transactions where nonce = 2 and wallet = $1)"
        ),
        "does not have the hash of its bytes",
    ),
    (
        "a payment that its transaction does not carry",
        (
            "update transactions t set payment_ids = (select payment_ids from transactions o"
            " where o.nonce = 1 and o.wallet = t.wallet) where nonce = 2 and wallet = $1"
        ),
        "does not carry what its row says",
    ),
    (
        "a no-op that is none",
        (
            "update attempts set noop = true where hash = (select mined_hash"
            " from transactions where nonce = 2 and wallet = $1)"
        ),
        "is no no-op",
    ),
    (
        "a transaction that another wallet sent",
        (
            "update transactions set wallet = (select address from wallets where role = 'mint'),"
            " nonce = 7 where nonce = 2 and wallet = $1"
        ),
        "was sent by",
    ),
    (
        "a transaction that the chain never had",
        (
            "with gone as (delete from attempts where hash = (select mined_hash"
            " from transactions where nonce = 2 and wallet = $1))"
            " update transactions set nonce = 3, mined_hash = '0x' || repeat('ab', 32)"
            " where nonce = 2 and wallet = $1"
        ),
        "it is mined, and the chain has no such",
    ),
    (
        "a replaced transaction whose nonce nobody used",
        (
            "with gone as (delete from attempts where hash = (select mined_hash"
            " from transactions where nonce = 2 and wallet = $1))"
            " update transactions set nonce = 3, state = 'replaced', mined_hash = null"
            " where nonce = 2 and wallet = $1"
        ),
        "and the chain has not used its nonce",
    ),
    (
        "bytes that are no transaction",
        (
            "update attempts set raw = '\\x02c0', hash = '"
            "0x"
            + keccak(b"\x02\xc0").hex()
            + "' where hash = (select mined_hash from transactions where nonce = 2 and wallet = $1)"
        ),
        "attempt 0x" + keccak(b"\x02\xc0").hex() + ": ",
    ),
    (
        "two attempts of one nonce that were both mined",
        (
            "update attempts set transaction_id = (select id from transactions where nonce = 1"
            " and wallet = $1) where hash = (select mined_hash from transactions where nonce = 2"
            " and wallet = $1)"
        ),
        "2 of its attempts are in blocks",
    ),
    (
        "two attempts of one nonce that do different things",
        (
            "update attempts set transaction_id = (select id from transactions where nonce = 1"
            " and wallet = $1) where hash = (select mined_hash from transactions where nonce = 2"
            " and wallet = $1)"
        ),
        "its attempts do different things",
    ),
]
