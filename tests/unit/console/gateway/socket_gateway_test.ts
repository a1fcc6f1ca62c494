/** Tests how the gateway is asked by its socket: its refusals, its end, and how many requests it has at once. */
import { createServer, type Socket } from "node:net";
import { GatewayRefusal, GatewayUnreachable } from "../../../../lib/console/gateway/gateway.ts";
import { SocketGateway } from "../../../../lib/console/gateway/socket_gateway.ts";
import type { EventEntry } from "../../../../lib/control/application/methods.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { eventOf } from "../../../support/console/fake_gateway.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { eventually } from "../../../support/time/patience.ts";

interface Request {
  readonly id: number;
  readonly method: string;
}

/** What a gateway's end of the socket does with a request. */
type Answer = (request: Request, socket: Socket) => unknown;

class Peer implements AsyncDisposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/control.sock`;
  readonly sockets = new Set<Socket>();
  readonly #server;

  private constructor(answer: Answer) {
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("error", () => {});
      socket.on("data", (data) => {
        const request: Request = JSON.parse(`${data}`);
        const said = answer(request, socket);
        if (said !== undefined) socket.write(`${JSON.stringify({ id: request.id, ...said })}\n`);
      });
    });
  }

  static async open(answer: Answer): Promise<Peer> {
    const peer = new Peer(answer);
    await new Promise<void>((resolve) => peer.#server.listen(peer.path, resolve));
    return peer;
  }

  gateway(): SocketGateway {
    return new SocketGateway("vpn0", this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

hostTest(
  "what the gateway answers is the result, and what it refuses has its words and code",
  async () => {
    await using peer = await Peer.open(({ method }) =>
      method === "dns"
        ? { result: { queries: 5 } }
        : { error: "Cannot do it: it is another by now", code: "revision" }
    );
    const gateway = peer.gateway();
    assertEquals(await gateway.ask("dns", {}), { queries: 5 });
    const refusal = await assertRejects(() => gateway.ask("health", {}), GatewayRefusal);
    assertEquals([refusal.message, refusal.code], [
      "Cannot do it: it is another by now",
      "revision",
    ]);
    await eventually(() => peer.sockets.size === 0 || null);
  },
);

hostTest(
  "what is no answer of a gateway's, as another program's or version's, ends nothing",
  async () => {
    for (const line of ["no JSON", "[]", "null", "7", '"text"', "{}", "[".repeat(60_000)]) {
      await using peer = await Peer.open((_request, socket) => void socket.write(`${line}\n`));
      const error = await assertRejects(() => peer.gateway().ask("dns", {}), GatewayUnreachable);
      assert(/lost/.test(error.message), error.message);
    }
  },
);

hostTest("a request that is longer than the gateway reads is refused, not sent", async () => {
  await using peer = await Peer.open(() => ({ result: null }));
  const text = "x".repeat(64 * 1024);
  const refusal = await assertRejects(
    () => peer.gateway().ask("preview-settings", { text }),
    GatewayRefusal,
  );
  assertEquals(refusal.code, "invalid");
});

hostTest("a gateway that does not run, or ends before it answers, cannot be reached", async () => {
  await assertRejects(
    () => new SocketGateway("vpn0", "/nonexistent/control.sock").ask("dns", {}),
    GatewayUnreachable,
  );
  await using peer = await Peer.open((_, socket) => void socket.destroy());
  await assertRejects(() => peer.gateway().ask("dns", {}), GatewayUnreachable, "has ended");
});

hostTest(
  "eight requests are under way at once, the others wait, and of too many the last are refused",
  async () => {
    const held: (() => void)[] = [];
    let most = 0;
    await using peer = await Peer.open(({ id }, socket) => {
      held.push(() => socket.write(`${JSON.stringify({ id, result: null })}\n`));
      most = Math.max(most, held.length);
    });
    const gateway = peer.gateway();
    const asked = Array.from({ length: 100 }, () => gateway.ask("dns", {}));
    const outcomes = Promise.allSettled(asked);
    for (let answered = 0; answered < 72; answered++) {
      const answer = await eventually(() => held.shift() ?? null);
      answer();
    }
    const statuses = (await outcomes).map(({ status }) => status);
    assertEquals(statuses.filter((status) => status === "fulfilled").length, 72);
    assertEquals(statuses.slice(0, 72).every((status) => status === "fulfilled"), true);
    assert(most <= 8, `${most} at once`);
  },
);

hostTest("events are told as they come, until nobody wants them", async () => {
  await using peer = await Peer.open(({ id, method }, socket) => {
    if (method !== "follow-events") return;
    for (const number of [1, 2]) {
      socket.write(`${JSON.stringify({ id, event: eventOf(number) })}\n`);
    }
  });
  const told: EventEntry[] = [];
  const following = new AbortController();
  const followed = peer.gateway().followEvents((event) => told.push(event), following.signal);
  await eventually(() => told.length === 2 || null);
  assertEquals(told.map(({ id }) => id), [1, 2]);
  following.abort();
  await followed;
  await eventually(() => peer.sockets.size === 0 || null);
});
