/**
 * Tests with hostile text for the parsers of WireGuard's configuration protocol: a refusal is an answer, never an
 * accident.
 */
import { network6, parseCidr6 } from "../../../lib/core/wire/ipv6_prefix.ts";
import { parseUapiRequest, UapiError } from "../../../lib/core/config/uapi.ts";
import { assert } from "../../support/assert.ts";
import { fuzz } from "../../support/fuzz.ts";
import { type Grammar, hostileLine, mutateText } from "../../support/source/grammar.ts";

const KEY = "ab".repeat(32);

const UAPI: Grammar = {
  keys: [
    ...["private_key", "listen_port", "fwmark", "replace_peers", "public_key", "remove"],
    ...["update_only", "preshared_key", "endpoint", "persistent_keepalive_interval"],
    ...["replace_allowed_ips", "allowed_ip", "protocol_version", "__proto__", "constructor", ""],
  ],
  separator: "=",
  values: [
    ...[KEY, "0".repeat(64), KEY.slice(1), "true", "false", "", "0", "1", "65535", "65536", "-1"],
    ...["4294967296", "1e3", "0x10", "192.0.2.1:51820", "192.0.2.1:0", "[2001:db8::1]:1", "a:1"],
    ...["10.0.0.0/8", "10.0.0.0/33", "-10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0", "/"],
    "9".repeat(5_000),
  ],
};

Deno.test("parseUapiRequest() reads a hostile request or refuses it with UapiError", () => {
  let [read, refused] = [0, 0];
  fuzz((random) => {
    const lines = [random.chance(0.9) ? "set=1" : mutateText(random, "get=1")];
    if (random.chance(0.7)) lines.push(`public_key=${KEY}`);
    for (let i = random.below(6); i > 0; i--) lines.push(hostileLine(random, UAPI));
    try {
      const request = parseUapiRequest(lines);
      read++;
      if (request.kind === "get") return;
      for (const { publicKey, allowedIps, endpoint } of request.change.peers) {
        assert(publicKey.length === 32, "a public key has 32 bytes");
        if (endpoint !== undefined) assert(endpoint.port > 0 && endpoint.port < 65_536);
        for (const { network } of allowedIps) {
          if (typeof network === "string") {
            assert(parseCidr6(network) !== null && network6(network) === network, network);
            continue;
          }
          const { address, prefixLength } = network;
          assert(prefixLength >= 0 && prefixLength <= 32, `/${prefixLength}`);
          assert(address === address >>> 0, `${address}`);
        }
      }
    } catch (error) {
      if (!(error instanceof UapiError)) throw error;
      refused++;
      assert(!/[\n\r]/.test(error.message), JSON.stringify(error.message));
    }
  });
  assert(read > 0 && refused > 0, `${read} read, ${refused} refused`);
});
