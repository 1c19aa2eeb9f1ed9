// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "./PaymentToken.sol";

/// Misbehaves for the payers that are told to, once their authorization has passed every check.
contract OddToken is PaymentToken {
    enum Oddity {
        None,
        CustomError,
        EmptyRevert,
        LongRevert,
        Panic,
        BurnsAllGas,
        NoTransfer,
        WrongAmount,
        RevertsOnlyWhenMined
    }

    mapping(address => Oddity) public oddity;

    error Odd(address payer, uint256 value);

    function setOddity(address payer, Oddity value) external {
        oddity[payer] = value;
    }

    function _transfer(address from, address to, uint256 value) internal override {
        Oddity odd = oddity[from];
        if (odd == Oddity.CustomError) revert Odd(from, value);
        if (odd == Oddity.EmptyRevert) assembly { revert(0, 0) }
        if (odd == Oddity.LongRevert) assembly { revert(0, 20000) }
        if (odd == Oddity.Panic) assert(false);
        if (odd == Oddity.BurnsAllGas) assembly { invalid() }
        // A call that only asks has no gas price.
        if (odd == Oddity.RevertsOnlyWhenMined && tx.gasprice > 0) revert Odd(from, value);
        if (odd == Oddity.NoTransfer) return;
        super._transfer(from, to, odd == Oddity.WrongAmount ? value / 2 : value);
    }
}
