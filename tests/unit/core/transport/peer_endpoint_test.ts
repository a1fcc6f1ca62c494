/** Tests of lib/core/transport/peer_endpoint.ts: a peer holds the path that it is at, and no other. */
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { PeerEndpoint } from "../../../../lib/core/transport/peer_endpoint.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assertEquals, assertNotEquals } from "../../../support/assert.ts";

const { udp, fakeTcp } = Transport;

function crowd(paths: Paths): void {
  for (let number = 0; number < 20; number++) paths.intern(number, 9, 0, udp);
}

Deno.test("a path stays while the peer is at it, and is free once the peer has moved", () => {
  const paths = new Paths({ holders: 1, unheld: 2 });
  const endpoint = new PeerEndpoint(paths);
  endpoint.moveTo(paths.intern(0xc000_0201, 7, 0, udp));
  const { path } = endpoint;
  crowd(paths);
  assertEquals([endpoint.address, endpoint.port], [0xc000_0201, 7]);
  endpoint.moveTo(paths.intern(0xc000_0202, 8, 0, udp));
  crowd(paths);
  assertEquals([endpoint.address, endpoint.port], [0xc000_0202, 8]);
  assertNotEquals(paths.address(path), 0xc000_0201);
});

Deno.test("an endpoint that is not known has no path, and keeps the transport that was chosen for it", () => {
  const endpoint = new PeerEndpoint(new Paths({ holders: 1, unheld: 2 }));
  endpoint.setTransport(fakeTcp);
  assertEquals([endpoint.path, endpoint.port, endpoint.transport], [NO_PATH, 0, fakeTcp]);
  endpoint.set({ address: 1, port: 2 });
  assertEquals([endpoint.address, endpoint.port, endpoint.transport], [1, 2, fakeTcp]);
  endpoint.set(null);
  assertEquals([endpoint.path, endpoint.transport], [NO_PATH, fakeTcp]);
});

Deno.test("our own address is forgotten with another transport, and when it is to be", () => {
  const paths = new Paths({ holders: 1, unheld: 4 });
  const endpoint = new PeerEndpoint(paths);
  endpoint.moveTo(paths.intern(1, 2, 3, udp));
  assertEquals(endpoint.sourceDigest, 3);
  endpoint.forgetSource();
  assertEquals([endpoint.sourceDigest, endpoint.port, endpoint.transport], [0, 2, udp]);
  endpoint.moveTo(paths.intern(1, 2, 3, udp));
  endpoint.setTransport(fakeTcp);
  assertEquals([endpoint.sourceDigest, endpoint.port, endpoint.transport], [0, 2, fakeTcp]);
});
