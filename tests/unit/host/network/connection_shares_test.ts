/** Tests who loses a connection when there are too many. */
import type { Socket } from "node:net";
import { ConnectionShares } from "../../../../lib/host/network/connection_shares.ts";
import { assertEquals } from "../../../support/assert.ts";

let lastPort = 0;

class FakeSocket {
  readonly remoteAddress: string;
  readonly remotePort = ++lastPort;
  isClosed = false;
  #onClose = () => {};

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
  }

  on(_event: "close", handler: () => void): void {
    this.#onClose = handler;
  }

  destroy(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#onClose();
  }
}

/** Takes so many connections from an address. */
function connect(shares: ConnectionShares, address: string, count: number): FakeSocket[] {
  return Array.from({ length: count }, () => {
    const socket = new FakeSocket(address);
    shares.add(socket as unknown as Socket);
    return socket;
  });
}

function open(sockets: readonly FakeSocket[]): number {
  return sockets.filter(({ isClosed }) => !isClosed).length;
}

Deno.test("a client with all connections loses its oldest to another, and to itself", () => {
  const shares = new ConnectionShares(16);
  const hostile = connect(shares, "10.66.77.3", 100);
  assertEquals(open(hostile), 16);
  const other = connect(shares, "10.66.77.2", 2);
  assertEquals([open(hostile), open(other)], [14, 2]);
  connect(shares, "10.66.77.3", 100);
  assertEquals(open(other), 2);
});

Deno.test("who has a network of IPv6 has one share, whichever of its addresses connections are from", () => {
  const shares = new ConnectionShares(16);
  const other = connect(shares, "2001:db8:2::7", 2);
  for (let i = 0; i < 100; i++) connect(shares, `2001:db8:1::${i.toString(16)}`, 1);
  assertEquals(open(other), 2);
  // Those of IPv4 that come by a socket of both are apart.
  const one = connect(shares, "::ffff:198.51.100.7", 7);
  const another = connect(shares, "::ffff:198.51.100.8", 1);
  connect(shares, "::ffff:198.51.100.7", 100);
  assertEquals([open(another), open(other), open(one)], [1, 2, 0]);
});

Deno.test("a connection that is answered stays while there is one that asks nothing", () => {
  const shares = new ConnectionShares(16);
  const [asking] = connect(shares, "10.66.77.2", 1);
  shares.begin(asking as unknown as Socket, { once: () => {} });
  connect(shares, "10.66.77.2", 40);
  connect(shares, "10.66.77.3", 40);
  assertEquals(asking!.isClosed, false);
  shares.end(asking as unknown as Socket);
  for (let i = 4; i < 40; i++) connect(shares, `10.66.77.${i}`, 1);
  assertEquals(asking!.isClosed, true);
});

Deno.test("a connection that asks without waiting for answers is closed at the third question", () => {
  const shares = new ConnectionShares(16);
  const [hasty, patient] = connect(shares, "10.66.77.2", 2) as [FakeSocket, FakeSocket];
  const ends: (() => void)[] = [];
  const begin = (socket: FakeSocket) =>
    shares.begin(socket as unknown as Socket, {
      once: (_event, end) => void ends.push(end),
    });
  assertEquals([begin(hasty), begin(hasty), hasty.isClosed], [true, true, false]);
  assertEquals([begin(hasty), hasty.isClosed], [false, true]);
  for (let i = 0; i < 50; i++) {
    assertEquals(begin(patient), true);
    ends.at(-1)!();
  }
  assertEquals(patient.isClosed, false);
});

Deno.test("a connection that closes leaves its place", () => {
  const shares = new ConnectionShares(16);
  for (const socket of connect(shares, "10.66.77.2", 16)) socket.destroy();
  const others = connect(shares, "10.66.77.3", 16);
  assertEquals(open(others), 16);
});
