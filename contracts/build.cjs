// Builds the contracts: `node contracts/build.cjs [folder]`. The same sources give the same bytes anywhere.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const target = process.argv[2] || path.join(__dirname, "../src/onsettle/local/artifacts");
const names = fs.readdirSync(__dirname).filter((name) => name.endsWith(".sol")).sort();
const input = {
  language: "Solidity",
  sources: Object.fromEntries(
    names.map((name) => [name, { content: fs.readFileSync(path.join(__dirname, name), "utf8") }]),
  ),
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "paris",
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((e) => e.severity === "error");
if (errors.length) {
  console.error(errors.map((e) => e.formattedMessage).join("\n"));
  process.exit(1);
}
fs.mkdirSync(target, { recursive: true });
for (const name of names) {
  const contract = path.basename(name, ".sol");
  const built = output.contracts[name][contract];
  const artifact = {
    abi: built.abi,
    bytecode: "0x" + built.evm.bytecode.object,
    deployedBytecode: "0x" + built.evm.deployedBytecode.object,
  };
  fs.writeFileSync(path.join(target, contract + ".json"), JSON.stringify(artifact, null, 1) + "\n");
}
