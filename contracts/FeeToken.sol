// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "./PaymentToken.sol";

/// Keeps one percent of every transfer: the recipient gets less than was signed.
contract FeeToken is PaymentToken {
    function _transfer(address from, address to, uint256 value) internal override {
        uint256 fee = value / 100;
        super._transfer(from, owner, fee);
        super._transfer(from, to, value - fee);
    }
}
