/** Tests of `SilenceWatch`: only what was seen since the server was lost explains why it is silent now. */
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import type { SocketAddress } from "../../../../lib/core/wire/socket_address.ts";
import { SilenceWatch } from "../../../../lib/commands/client/silence_watch.ts";
import { DROP_REASON_NAMES, DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import type { Refusal } from "../../../../lib/core/wireguard/liveness/refusal.ts";

const PLACE = { address: 0xc0000201, port: 51_820 };
const PLACE6 = { address: "2001:db8::1", port: 51_820 };
const REFUSED: Refusal = { kind: "refused", words: "port unreachable", from: PLACE.address };

class World {
  unfitting = 0;
  sendErrors = 0;
  sendError: string | null = null;
  refusal: Refusal | null = null;
  refusesOthers = false;
  refusesServers = false;
  asked = 0;
  readonly watch = new SilenceWatch({
    mark: 7,
    dataPlane: {
      statistics: () =>
        Promise.resolve({
          sendError: this.sendError,
          drops: {
            [DROP_REASON_NAMES[DropReason.badHandshake]!]: this.unfitting,
            [DROP_REASON_NAMES[DropReason.sendError]!]: this.sendErrors,
          },
        }),
    },
    refusals: {
      latest: () => {
        const { refusal } = this;
        this.refusal = null;
        return refusal;
      },
    },
    refusesOtherPorts: (address, options) => {
      assertEquals(options, { port: PLACE.port, mark: 7 });
      assert([PLACE.address, PLACE6.address].includes(address));
      this.asked++;
      return Promise.resolve(this.refusesOthers);
    },
    refusesPort: (address, options) => {
      assertEquals([address, options], [PLACE6.address, { port: PLACE6.port, mark: 7 }]);
      return Promise.resolve(this.refusesServers);
    },
  });

  explain(
    transport: "udp" | "faketcp" | "auto" = "udp",
    place: SocketAddress = PLACE,
  ): Promise<string> {
    const config = { interface: { transport } } as Parameters<SilenceWatch["explain"]>[1];
    return this.watch.explain(place, config);
  }
}

Deno.test("what explained an earlier silence does not explain the next one", async () => {
  const world = new World();
  Object.assign(world, { unfitting: 3, sendErrors: 5, sendError: "EPERM", refusal: REFUSED });
  await world.watch.begin(PLACE);
  assertMatch(await world.explain(), /^check that the server runs/);

  world.sendErrors++;
  assertMatch(await world.explain(), /^this host's own firewall blocks packets to it/);
  await world.watch.begin(PLACE);
  world.refusal = REFUSED;
  assertMatch(await world.explain(), /^no program listens on that port, says 192\.0\.2\.1/);
  world.unfitting++;
  assertMatch(await world.explain(), /^an answer arrived, but cannot be decrypted/);
});

Deno.test("a wrong key is told from a server that is not there by a port that its host refuses", async () => {
  const world = new World();
  world.refusesOthers = true;
  assertMatch(await world.explain(), /^its host rejects other ports but not this one/);
  assertEquals(world.asked, 1);
});

Deno.test("another port is not tried where the reason is known, or where UDP is not used", async () => {
  const world = new World();
  world.refusal = REFUSED;
  await world.explain();
  await world.explain("faketcp");
  assertEquals(world.asked, 0);
});

Deno.test("of a server at an IPv6 address, the host is asked about the server's own port before another", async () => {
  const world = new World();
  Object.assign(world, { refusesServers: true, refusesOthers: true });
  assertMatch(
    await world.explain("udp", PLACE6),
    /^no program listens on that port, says 2001:db8::1/,
  );
  assertEquals(world.asked, 0);
  world.refusesServers = false;
  assertMatch(await world.explain("udp", PLACE6), /^its host rejects other ports but not this one/);
});
