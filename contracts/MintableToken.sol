// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// A local mintable token: every key mints once, minters only, up to a cap.
contract MintableToken {
    address public owner = msg.sender;
    uint256 public cap = type(uint256).max;
    uint256 public totalSupply;
    bool public paused;
    mapping(address => bool) public isMinter;
    mapping(address => uint256) public balanceOf;
    mapping(bytes32 => bool) public hasMinted;

    event TokensMinted(address indexed to, uint256 amount, bytes32 txHash);

    error AlreadyMinted();
    error CapReached();
    error NotMinter();
    error Paused();

    function grantMinter(address account) external {
        require(msg.sender == owner, "not the owner");
        isMinter[account] = true;
    }

    function setCap(uint256 value) external {
        require(msg.sender == owner, "not the owner");
        cap = value;
    }

    function setPaused(bool value) external {
        require(msg.sender == owner, "not the owner");
        paused = value;
    }

    function mint(address to, bytes32 txHash) public {
        if (!isMinter[msg.sender]) revert NotMinter();
        if (paused) revert Paused();
        if (hasMinted[txHash]) revert AlreadyMinted();
        if (totalSupply + 1 > cap) revert CapReached();
        hasMinted[txHash] = true;
        totalSupply += 1;
        balanceOf[to] += 1;
        emit TokensMinted(to, 1, txHash);
    }

    function batchMint(address[] calldata to, bytes32[] calldata txHashes) external {
        require(to.length == txHashes.length, "lengths differ");
        for (uint256 i; i < to.length; i++) mint(to[i], txHashes[i]);
    }
}
