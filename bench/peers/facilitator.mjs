// The official x402 facilitator in TypeScript, settling the benchmark's payments.
//
// Reads one JSON job from standard input, prints one JSON answer. The SDK's settle function is
// called directly, without an HTTP server in front of it. viem's nonce manager is on: without it
// most concurrent settles fail. It looks for receipts ten times a second instead of every few
// seconds, which is in the peer's favour.
import { readFileSync } from "node:fs";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { createWalletClient, defineChain, http, nonceManager, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const job = JSON.parse(readFileSync(0, "utf8"));
const network = `eip155:${job.chain_id}`;
const chain = defineChain({
  id: job.chain_id,
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [job.rpc_url] } },
});
const account = privateKeyToAccount(job.key, { nonceManager });
const client = createWalletClient({
  account,
  chain,
  transport: http(job.rpc_url),
  pollingInterval: 100,
}).extend(publicActions);
const signer = toFacilitatorEvmSigner({
  address: account.address,
  getCode: (args) => client.getCode(args),
  readContract: (args) => client.readContract(args),
  verifyTypedData: (args) => client.verifyTypedData(args),
  writeContract: (args) => client.writeContract(args),
  sendTransaction: (args) => client.sendTransaction(args),
  waitForTransactionReceipt: (args) => client.waitForTransactionReceipt(args),
});
const facilitator = new x402Facilitator();
facilitator.register(network, new ExactEvmScheme(signer));

async function settle({ signature, ...authorization }) {
  const requirements = {
    scheme: "exact",
    network,
    asset: job.asset,
    amount: authorization.value,
    payTo: authorization.to,
    maxTimeoutSeconds: 300,
    extra: { name: job.name, version: job.version },
  };
  const payload = {
    x402Version: 2,
    payload: { signature, authorization },
    accepted: requirements,
    resource: { url: "http://localhost/", description: "", mimeType: "" },
  };
  const answer = await facilitator.settle(payload, requirements);
  return answer.success ? "settled" : String(answer.errorReason);
}

const answers = {};
const waiting = [...job.payments];
async function lane() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const answer = await settle(next).catch((error) => error.constructor.name);
    answers[answer] = (answers[answer] ?? 0) + 1;
  }
}
const started = Date.now();
await Promise.all(Array.from({ length: job.at_once }, lane));
const seconds = (Date.now() - started) / 1000;
const { settled = 0, ...failures } = answers;
const used = process.cpuUsage();
const cpu_seconds = (used.user + used.system) / 1e6;
console.log(JSON.stringify({ settled, seconds, cpu_seconds, failures }));
