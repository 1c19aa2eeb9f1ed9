"""Generated addresses, words and authorizations."""

from hypothesis import strategies as st

from onsettle.domain.authorization import Authorization

#: The order of secp256k1.
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def hex_of(size: int) -> st.SearchStrategy[str]:
    """`size` bytes as lower-case hex."""
    return st.binary(min_size=size, max_size=size).map(lambda data: "0x" + data.hex())


def addresses() -> st.SearchStrategy[str]:
    return hex_of(20)


def words() -> st.SearchStrategy[str]:
    return hex_of(32)


def uints() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 1000))


def signatures() -> st.SearchStrategy[bytes]:
    """Those of keys, and those of contracts."""
    of_keys = st.tuples(st.binary(min_size=64, max_size=64), st.sampled_from([27, 28]))
    return st.one_of(of_keys.map(lambda rs_v: rs_v[0] + bytes([rs_v[1]])), st.binary(max_size=200))


def authorizations() -> st.SearchStrategy[Authorization]:
    return st.builds(
        Authorization,
        payer=addresses(),
        pay_to=addresses(),
        value=uints(),
        valid_after=uints(),
        valid_before=uints(),
        nonce=words(),
        signature=signatures(),
    )
