/** Tests of `lib/dataplane/egress/egress.ts`: which ports the host must leave to the NAT. */
import { capturedPorts, virtualAddresses } from "../../../../lib/dataplane/egress/egress.ts";
import { assertEquals } from "../../../support/assert.ts";

const ports = { first: 20_000, last: 29_999 };

function forward(protocol: "tcp" | "udp", externalPort: number) {
  return { protocol, externalPort, address: 0x0a424d02, port: 80 };
}

Deno.test("capturedPorts() has the NAT's range for both protocols", () => {
  assertEquals(capturedPorts({ ports, forwards: [], services: [] }), {
    tcp: [ports],
    udp: [ports],
  });
});

Deno.test("capturedPorts() has forwarded ports beside the range, each for its protocol", () => {
  const forwards = [
    forward("tcp", 19_999),
    forward("udp", 30_000),
    // In the range already.
    forward("tcp", 20_000),
    forward("udp", 29_999),
  ];
  assertEquals(capturedPorts({ ports, forwards, services: [] }), {
    tcp: [ports, { first: 19_999, last: 19_999 }],
    udp: [ports, { first: 30_000, last: 30_000 }],
  });
});

Deno.test("capturedPorts() has published ports of the gateway's address, not those of addresses of their own", () => {
  const services = [
    { protocol: "tcp", externalAddress: null, externalPort: 443 },
    { protocol: "tcp", externalAddress: 0xcb007150, externalPort: 80 },
    { protocol: "udp", externalAddress: 0xcb007150, externalPort: 80 },
  ] as const;
  const captured = capturedPorts({ ports, forwards: [], services });
  assertEquals(captured, { tcp: [ports, { first: 443, last: 443 }], udp: [ports] });
  assertEquals(virtualAddresses({ services }), [0xcb007150]);
});
