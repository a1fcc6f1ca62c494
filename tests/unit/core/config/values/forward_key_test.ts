/** Tests of `Forward`: what each form means, and what is refused. */
import { ConfigError } from "../../../../../lib/core/config/config_error.ts";
import type { PortForward } from "../../../../../lib/core/config/config.ts";
import { parseForward } from "../../../../../lib/core/config/values/forward_key.ts";
import { assertEquals, assertThrows } from "../../../../support/assert.ts";

function parse(value: string): PortForward {
  const [{ forward }] = parseForward({ fileName: "s.conf", line: 3, key: "Forward", value });
  return forward;
}

const WEB = [
  { text: "web-1:8443", peer: "web-1", address: null, port: 8443 },
  { text: "10.66.77.3:8443", peer: null, address: 0x0a424d03, port: 8443 },
];
const PLAIN = {
  protocol: "tcp",
  externalAddress: null,
  externalPort: 443,
  backEnds: WEB,
  method: "hash",
  check: "port",
} as const;

Deno.test("a forward has back ends by name and address, in any number of blanks", () => {
  for (
    const value of [
      "tcp:443 -> web-1:8443, 10.66.77.3:8443",
      "TCP : 443->web-1:8443,10.66.77.3 : 8443",
      '  tcp:443 ->  "web-1":8443 ,  10.66.77.3:8443 (hash)',
      "tcp:443 -> web-1:8443, 10.66.77.3:8443 ()",
    ]
  ) assertEquals(parse(value.trim()), PLAIN, value);
});

Deno.test("a forward may have an address of its own", () => {
  const { externalAddress } = parse("tcp:203.0.113.7:443 -> web-1:8443");
  assertEquals(externalAddress, 0xcb007107);
});

Deno.test("behind the back ends stands how one is chosen, and asked whether it is there", () => {
  const cases: [string, Partial<PortForward>][] = [
    ["tcp:443 -> a:1, b:1 (least)", { method: "least", check: "port" }],
    ["tcp:443 -> a:1, b:1 (LEAST, check=8080)", { method: "least", check: 8080 }],
    ["tcp:443 -> a:1, b:1 (check=off hash)", { method: "hash", check: "off" }],
    ["udp:53 -> a:1, b:1", { method: "hash", check: "off" }],
    ["udp:53 -> a:1, b:1 (check=53)", { method: "hash", check: 53 }],
  ];
  for (const [value, expected] of cases) {
    const { method, check } = parse(value);
    assertEquals({ method, check }, { method: "hash", check: "off", ...expected }, value);
  }
});

Deno.test("a peer's name may have blanks, parentheses and, in quotation marks, commas", () => {
  const peers = parse('tcp:443 -> Jo\'s box (old):1, "Smith, Ann":2 (least)').backEnds;
  assertEquals(peers.map(({ peer, text }) => [peer, text]), [
    ["Jo's box (old)", "Jo's box (old):1"],
    ["Smith, Ann", "Smith, Ann:2"],
  ]);
});

Deno.test("what a forward cannot be is refused with the part that is wrong", () => {
  const many = Array.from({ length: 65 }, (_, i) => `web-${i}:1`).join(", ");
  const cases: [string, string][] = [
    [
      "tcp:443 -> web-1:8443, web-1:8443",
      'cannot use "web-1:8443": it stands there twice: remove one',
    ],
    ["tcp:443 -> web/1:8443", 'cannot use "web/1:8443": this is no peer\'s name, nor an address'],
    ["tcp:443 -> 127.0.0.1:80", 'cannot use "127.0.0.1": a host cannot have this address'],
    [
      "tcp:80 -> web-1:80, 169.254.169.254:80",
      'cannot use "169.254.169.254": link-local addresses and a cloud\'s services for its hosts are not published',
    ],
    [
      "tcp:80 -> 168.63.129.16:80",
      'cannot use "168.63.129.16": link-local addresses and a cloud\'s services for its hosts are not published',
    ],
    ["tcp:224.0.0.1:443 -> a:1", 'cannot use "224.0.0.1": a host cannot have this address'],
    [
      `tcp:443 -> ${many}`,
      'cannot use "65 back ends": a service has at most 64 back ends: leave some out',
    ],
    [
      "tcp:443 -> a:1, b:1 (most)",
      'cannot use "most": in parentheses stands hash or least, and check=PORT or check=off, as in ' +
      "(least, check=8080)",
    ],
    [
      "tcp:443 -> a:1, b:1 (check=0)",
      'cannot use "check=0": in parentheses stands hash or least, and check=PORT or check=off, as in ' +
      "(least, check=8080)",
    ],
  ];
  for (const [value, message] of cases) {
    assertEquals(
      assertThrows(() => parse(value), ConfigError).message,
      `s.conf:3: Forward: ${message}`,
    );
  }
});
