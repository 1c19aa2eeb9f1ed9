"""The pieces that calls and answers are made of."""

import pytest

from onsettle.chain.codec import unhex


class TestUnhex:
    def test_the_bytes(self) -> None:
        assert unhex("0x") == b""
        assert unhex("0x00fFA0") == b"\x00\xff\xa0"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0",
            "x",
            "00ff",
            "0x0",
            "0xzz",
            "0x 0f0",
            "0x00 ff",
            "0x00ff ",
            " 0x00",
            "0X00",
            "0x\u0663\u0663",
        ],
    )
    def test_nothing_else(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"hex"):
            unhex(text)
