/** Ten thousand changes of access rules under traffic: no packet is lost that no change is about. */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { AccessSite } from "../../support/access/site.ts";
import { ADDRESSES } from "../../support/access/world.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildTcp, buildUdp } from "../../support/packets/packet_builder.ts";
import { createFastAead } from "../../support/packets/fast_aead.ts";

const CHANGES = 10_000;
const { laptop, printer, phone, server } = ADDRESSES as Record<string, string>;

for (const workers of [undefined, 2]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;

  Deno.test(`ten thousand changes of rules under traffic lose no packet that they are not about: ${how}`, () => {
    const steady = { laptop: { allow: "peer:printer" }, printer: { allow: "internet" } };
    const site = new AccessSite(steady, {
      aead: createFastAead,
      ...(workers !== undefined && { workers }),
    });
    const { gateway, clients } = site;
    const from = (name: string) => clients[name]!;
    const ends = { sourcePort: 5000, destinationPort: 631 };
    const question = buildUdp({ source: laptop!, destination: printer!, ...ends });
    const answer = buildUdp({
      source: printer!,
      destination: laptop!,
      sourcePort: 631,
      destinationPort: 5000,
    });
    const segment = buildTcp({ source: phone!, destination: server!, flags: 0x02 });
    let unrelated = 0;
    let arrived = 0;
    let passed = 0;
    for (let change = 0; change < CHANGES; change++) {
      const isDenied = change % 2 === 0;
      site.set({
        ...steady,
        phone: isDenied ? { deny: "peer:server tcp/80" } : {},
        server: { allow: `internet tcp/${1 + change % 60_000}` },
      });
      from("laptop").send(question);
      from("printer").send(answer);
      from("phone").send(segment);
      unrelated += 2;
      site.simulation.run(50);
      arrived += from("printer").tun.written.splice(0).length;
      arrived += from("laptop").tun.written.splice(0).length;
      const reached = from("server").tun.written.splice(0).length;
      assertEquals(reached, isDenied ? 0 : 1, `change ${change}`);
      passed += reached;
      from("phone").tun.written.length = 0;
    }
    assertEquals([arrived, passed], [unrelated, CHANGES / 2]);
    assertEquals(gateway.dropped(DropReason.replayed), 0);
  });
}
