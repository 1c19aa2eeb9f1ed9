"""One EVM node and many: JSON-RPC, ABI, signing, logs."""
