"""What other packages may use of this one is where they look for it."""

from onsettle.chain import abi, answers, crypto, logs, rpc, signer, token


def test_names() -> None:
    for module in (abi, crypto, rpc, signer):
        for name in module.__all__:
            assert hasattr(module, name), f"{module.__name__}.{name}"
    assert callable(answers.classify)
    assert callable(logs.decode_logs)
    assert callable(token.read_domain)
