/** Tests the text format of metrics, by a strict reader of it. */
import { formatExposition, type MetricFamily } from "../../../../lib/core/metrics/exposition.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { parseExposition } from "../../../support/metrics/exposition_parser.ts";

const PEERS: MetricFamily = {
  name: "vpn_peer_up",
  type: "gauge",
  help: "Whether it is there.",
  samples: [{ labels: { peer: "laptop", public_key: "a+/=" }, value: 1 }, {
    labels: { peer: "phone", public_key: "b" },
    value: 0,
  }],
};

Deno.test("formatExposition() writes HELP, TYPE and a line for each sample", () => {
  assertEquals(
    formatExposition([PEERS, {
      name: "vpn_nat_sessions",
      type: "gauge",
      help: "Connections.",
      samples: [{ value: 3 }],
    }]),
    `# HELP vpn_peer_up Whether it is there.
# TYPE vpn_peer_up gauge
vpn_peer_up{peer="laptop",public_key="a+/="} 1
vpn_peer_up{peer="phone",public_key="b"} 0
# HELP vpn_nat_sessions Connections.
# TYPE vpn_nat_sessions gauge
vpn_nat_sessions 3
`,
  );
});

Deno.test("formatExposition() leaves out a family without samples", () => {
  assertEquals(formatExposition([{ ...PEERS, samples: [] }]), "");
});

Deno.test("formatExposition() escapes what would end a label or a line", () => {
  const peer = 'back\\slash "quoted"\nnext, line} 5 \\n \u{1f512}';
  const help = 'A \\ and a\nline, "quoted".';
  const text = formatExposition([{ ...PEERS, help, samples: [{ labels: { peer }, value: 1 }] }]);
  assertEquals(
    text,
    '# HELP vpn_peer_up A \\\\ and a\\nline, "quoted".\n# TYPE vpn_peer_up gauge\n' +
      'vpn_peer_up{peer="back\\\\slash \\"quoted\\"\\nnext, line} 5 \\\\n \u{1f512}"} 1\n',
  );
  const family = parseExposition(text).get("vpn_peer_up");
  assertEquals(family?.help, help);
  assertEquals(family?.samples, [{ labels: { peer }, value: 1 }]);
});

Deno.test("formatExposition() writes numbers as Prometheus reads them", () => {
  const values = [0, 0.25, 2 ** 53, 1e21, 1e-7, -1.5, Infinity, -Infinity, NaN];
  const samples = values.map((value, i) => ({ labels: { i: `${i}` }, value }));
  const text = formatExposition([{ ...PEERS, samples }]);
  assertEquals(Array.from(text.matchAll(/ (\S+)$/gm), ([, number]) => number).slice(2), [
    ...["0", "0.25", "9007199254740992", "1e+21", "1e-7", "-1.5", "+Inf", "-Inf", "NaN"],
  ]);
  assertEquals(
    parseExposition(text).get("vpn_peer_up")?.samples.map(({ value }) => value),
    values,
  );
});

Deno.test("parseExposition(), the tests' reader, takes nothing that is not quite right", () => {
  const head = "# HELP a_total A.\n# TYPE a_total counter\n";
  parseExposition(`${head}a_total{x="1"} 5\na_total{x="2"} 5\n`);
  for (
    const text of [
      `${head}a_total 5`,
      "a_total 5\n",
      "# HELP a_total A.\na_total 5\n",
      "# TYPE a_total counter\n# HELP a_total A.\na_total 5\n",
      "# HELP a_total A.\n# TYPE a_total number\na_total 5\n",
      `${head}b_total 5\n`,
      `${head}a_total  5\n`,
      `${head}a_total\n`,
      `${head}a_total five\n`,
      `${head}a_total 5\na_total 6\n`,
      `${head}a_total{} 5\n`,
      `${head}a_total{x="1",} 5\n`,
      `${head}a_total{x="1",x="2"} 5\n`,
      `${head}a_total{x="1" y="2"} 5\n`,
      `${head}a_total{x=1} 5\n`,
      `${head}a_total{__x="1"} 5\n`,
      `${head}a_total{x="\\t"} 5\n`,
      `${head}a_total{x="""} 5\n`,
      `${head}\na_total 5\n`,
      `${head}a_total 5\n${head}a_total 6\n`,
      `${head}${head.replaceAll("a_", "b_")}b_total 6\n`,
    ]
  ) {
    assertThrows(() => parseExposition(text), Error, undefined);
  }
});
