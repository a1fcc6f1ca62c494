/**
 * Tests of metrics with hostile names and values: whatever a peer, an interface or an error is called, each line is one
 * sample.
 */
import { formatExposition } from "../../../lib/core/metrics/exposition.ts";
import { vpnMetrics } from "../../../lib/core/metrics/vpn_metrics.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { fuzz } from "../../support/fuzz.ts";
import { mutateText } from "../../support/source/grammar.ts";
import type { Random } from "../../support/random.ts";
import { parseExposition } from "../../support/metrics/exposition_parser.ts";
import { GATEWAY, LAPTOP } from "../../support/metrics/snapshots.ts";

/** Names that would end a label, a line or a family, if they could. */
const NAMES = [
  "laptop",
  'x"} 1\nvpn_peer_up{peer="x',
  "\n# HELP vpn_peer_up Forged.\n# TYPE vpn_peer_up counter\n",
  "\\",
  '\\"',
  "\\n",
  "",
];
/** The families in which there is something hostile. */
const FAMILIES = new Set([
  "vpn_info",
  "vpn_peer_receive_bytes_total",
  "vpn_internal_errors_total",
  "vpn_nat_send_errors_total",
]);
const VALUES = [0, 1, -1, 0.1, 2 ** 53, 1e300, 5e-324, NaN, Infinity, -Infinity];

function hostileName(random: Random): string {
  const name = random.pick(NAMES);
  return random.chance(0.5) ? mutateText(random, name) : name;
}

/** What a reader gets of a name: the format is UTF-8, which has no lone surrogates. */
function received(name: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(name));
}

Deno.test("metrics are read back as they were, whatever peers and errors are called and counts are", () => {
  fuzz((random) => {
    const names = Array.from({ length: random.between(1, 3) }, () => hostileName(random));
    const error = hostileName(random);
    const value = random.pick(VALUES);
    const metrics = vpnMetrics({
      ...GATEWAY,
      interfaceName: hostileName(random),
      peers: names.map((name, i) => ({
        ...LAPTOP,
        name,
        publicKey: new Uint8Array(32).fill(i),
        receivedBytes: value,
      })),
      faults: { [error]: value },
      nat: { mappings: value, sessions: value, sendErrors: { [error]: value } },
    });
    const text = formatExposition(metrics.filter(({ name }) => FAMILIES.has(name)));
    const families = parseExposition(received(text));
    const bytes = families.get("vpn_peer_receive_bytes_total")!.samples;
    assertEquals(bytes.map(({ labels }) => labels["peer"]), names.map(received));
    assert(bytes.every((sample) => Object.is(sample.value, value)), `${value}`);
    for (const family of ["vpn_internal_errors_total", "vpn_nat_send_errors_total"]) {
      const [sample, ...others] = families.get(family)!.samples;
      assertEquals(Object.values(sample!.labels), [received(error)]);
      assertEquals(others, []);
    }
  });
});
