"""Keys are loaded from text or keystores, and never shown."""

import json
import pickle
from pathlib import Path

import pytest
from eth_account import Account

from onsettle.chain import signer as signer_module
from onsettle.chain.signer import LocalSigner, SignerError, assert_native, load_signers

KEY = "0x" + "ab" * 32
ADDRESS = Account.from_key(KEY).address.lower()
PASSWORD = "correct horse"


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    path = tmp_path / "wallet.json"
    content = Account.encrypt(bytes.fromhex(KEY[2:]), PASSWORD, kdf="pbkdf2", iterations=1000)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class TestLoading:
    @pytest.mark.parametrize("spec", [KEY, KEY[2:], KEY.upper(), f"  {KEY} "])
    def test_a_key_in_hex(self, spec: str) -> None:
        [signer] = load_signers([spec], None)
        assert signer.address == ADDRESS

    def test_a_keystore(self, keystore: Path) -> None:
        [signer] = load_signers([str(keystore)], PASSWORD)
        assert signer.address == ADDRESS

    def test_a_wrong_password_is_named_as_such(self, keystore: Path) -> None:
        with pytest.raises(SignerError, match=r"key 1 of 1: the password does not open"):
            load_signers([str(keystore)], "wrong")

    def test_a_keystore_needs_a_password(self, keystore: Path) -> None:
        with pytest.raises(SignerError, match="ONSETTLE_KEYSTORE_PASSWORD"):
            load_signers([str(keystore)], None)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("not json", "not JSON"),
            ("{}", "version 3"),
            ("[]", "version 3"),
            ('{"version":3}', "version 3"),
            ('{"version":1}', "version 3"),
        ],
    )
    def test_a_file_that_is_no_keystore(self, tmp_path: Path, content: str, message: str) -> None:
        path = tmp_path / "file"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(SignerError, match=message):
            load_signers([str(path)], PASSWORD)

    @pytest.mark.parametrize(
        "spec",
        [
            "",
            "0x12",
            "12" * 31,
            KEY + "0",
            "no/such/file",
            "00" * 32,
            "ff" * 32,
            " ".join([KEY] * 4),
            "/".join([KEY] * 40),
            "~nobody-of-this-name/wallet.json",
        ],
    )
    def test_what_is_wrong_is_named_by_its_position_only(self, spec: str) -> None:
        with pytest.raises(SignerError) as caught:
            load_signers([KEY, spec], None)
        text = str(caught.value)
        assert text.startswith("key 2 of 2: ")
        assert not spec or spec not in text
        assert caught.value.__cause__ is None

    def test_one_wallet_twice_is_refused(self) -> None:
        """Two lanes on one nonce sequence would fight each other."""
        with pytest.raises(SignerError, match="key 2 of 2: the wallet is listed twice"):
            load_signers([KEY, KEY.upper()], None)


class TestSecrecy:
    def test_a_signer_shows_its_address_and_nothing_else(self) -> None:
        signer = LocalSigner.from_key(KEY)
        for shown in (repr(signer), str(signer), f"{signer}"):
            assert shown == f"LocalSigner({ADDRESS})"

    def test_a_signer_is_never_pickled(self) -> None:
        with pytest.raises(TypeError):
            pickle.dumps(LocalSigner.from_key(KEY))


class TestNative:
    def test_signing_runs_in_libsecp256k1_here(self) -> None:
        assert_native()

    def test_the_slow_fallback_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ECC_BACKEND_CLASS", "eth_keys.backends.NativeECCBackend")
        with pytest.raises(RuntimeError, match="coincurve"):
            signer_module.assert_native()
