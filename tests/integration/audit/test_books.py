"""Each kind of difference in the books is planted, and `verify` reports it with its ids."""

from tests.harness.audit import Books
from tests.harness.edits import EDITS, TRANSACTION_EDITS


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
