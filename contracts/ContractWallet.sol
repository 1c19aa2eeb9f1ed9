// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// A payer with code (ERC-1271): its owner's signature counts, of any length that starts with one.
contract ContractWallet {
    address public owner;
    bool public burnsGas;

    constructor(address owner_) {
        owner = owner_;
    }

    function setOwner(address value) external {
        owner = value;
    }

    function setBurnsGas(bool value) external {
        burnsGas = value;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (burnsGas) assembly { invalid() }
        if (signature.length < 65) return 0xffffffff;
        address signer = ecrecover(
            digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64])
        );
        return signer != address(0) && signer == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}
