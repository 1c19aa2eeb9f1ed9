"""Each kind of difference in the books is planted, and `verify` reports it with its ids."""

import pytest

from tests.harness.audit import Books
from tests.harness.commands import Answer, onsettle
from tests.harness.edits import EDITS, TRANSACTION_EDITS
from tests.harness.proxy import FaultProxy


async def test_every_difference_in_the_books_is_reported_with_its_payment(books: Books) -> None:
    """Whatever the books say wrongly about a payment, verify names the payment and what differs."""
    for planted, statement, words in EDITS:
        async with books.edited(statement, books.ids[1]) as report:
            named = [d for d in report.differences if str(books.ids[1]) in d and words in d]
            assert named, (planted, report.differences, report.not_checked)
            assert not any(str(books.ids[0]) in d for d in report.differences), planted
    await books.stack.verified(books.engine)


async def test_every_difference_in_the_transactions_is_reported(books: Books) -> None:
    """A gap, a doubled purpose or a wrong outcome of a nonce of ours does not pass the audit."""
    [wallet] = books.stack.wallets
    for planted, statement, words in TRANSACTION_EDITS:
        async with books.edited(statement, wallet) as report:
            said = report.differences + report.notes
            assert any(words in line for line in said), (planted, said)
    await books.stack.verified(books.engine)


async def test_a_completion_at_less_than_its_depth_is_reported(books: Books) -> None:
    """What is completed stands at payment_confirmations, or verify names it."""
    statement = "update system_settings set value = '1000' where key = $1"
    async with books.edited(statement, "payment_confirmations") as report:
        for each in books.ids:
            words = f"payment {each}: it is completed at depth"
            assert any(words in d and "1000 are required" in d for d in report.differences)


async def test_a_difference_ends_the_command_with_exit_code_1(books: Books) -> None:
    """The books are edited, and `onsettle verify` fails with a line that names the payment: what is
    run by a timer is noticed by its exit code. Before the edit it ends with 0."""
    clean = await _verify(books)
    assert (clean.code, _lines(clean, "DIFFERENCE")) == (0, []), clean
    assert "The books and the chain agree." in clean.out
    statement = "update payment_queue set amount = amount + 1 where id = $1"
    async with books.edited(statement, books.ids[1]):
        found, told = await _verify(books), await _verify(books, "--json")
    assert found.code == told.code == 1, (found, told)
    assert any(str(books.ids[1]) in line for line in _lines(found, "DIFFERENCE")), found.out
    assert "The books and the chain agree." not in found.out
    assert not told.json["ok"]
    assert any(str(books.ids[1]) in line for line in told.json["differences"])


@pytest.mark.parametrize(("edited", "code"), [(False, 3), (True, 1)])
async def test_what_can_not_be_checked_ends_the_command_with_exit_code_3(
    books: Books, edited: bool, code: int
) -> None:
    """A node that does not answer for balances: nothing is known to be wrong, and the command does
    not end as if all were fine. A difference beside it counts for more."""
    statement = "update payment_queue set amount = amount + $2 where id = $1"
    async with FaultProxy(books.stack.chain.rpc_url) as node:
        node.refuse(lambda call: call["method"] == "eth_getBalance", "missing trie node")
        async with books.edited(statement, books.ids[1], int(edited)):
            found = await _verify(books, rpc_urls=node.url)
    assert found.code == code, found
    assert bool(_lines(found, "DIFFERENCE")) == edited, found.out
    [wallet] = books.stack.wallets
    assert any(wallet in line for line in _lines(found, "not checked:")), found.out
    assert "Not verified." in found.out


async def _verify(books: Books, *words: str, **more: str) -> Answer:
    return await onsettle(books.stack.process_environment(**more), "verify", *words)


def _lines(answer: Answer, beginning: str) -> list[str]:
    return [line for line in answer.out.splitlines() if line.startswith(beginning)]
