/** Tests of where a client's server may be: by all its endpoints, of which some may not be found. */
import type { Endpoint } from "../../../../lib/core/config/config.ts";
import {
  lookUpServer,
  lookUpServerAgain,
  placesOutside,
} from "../../../../lib/commands/client/server_lookup.ts";
import { type HostAddress, isIpv6 } from "../../../../lib/core/wire/host_address.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import { assertEquals, assertRejects, assertThrows } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const at = (address: HostAddress, port = 1): Endpoint => ({ host: `${address}`, address, port });
const named = (host: string): Endpoint => ({ host, address: null, port: 1 });
const OPTIONS = {
  timeout: 5_000,
  hasRoute: () => true,
  outside: (addresses: readonly HostAddress[]) => addresses,
};

hostTest("lookUpServer() finds what is to be found, and tells of the rest", async () => {
  const missing: string[] = [];
  const places = await lookUpServer([named("vpn.invalid"), at(7), at("2001:db8::1", 2)], {
    ...OPTIONS,
    onMissing: ({ message }) => missing.push(message.split(": ")[1]!),
  });
  assertEquals(places, [
    { address: 7, port: 1, rank: 1 },
    { address: "2001:db8::1", port: 2, rank: 2 },
  ]);
  assertEquals(missing, ['looking up "vpn.invalid" failed']);
});

hostTest("lookUpServer() fails where nothing is found", async () => {
  const onMissing = () => {};
  await assertRejects(
    () => lookUpServer([named("vpn.invalid"), named("vpn2.invalid")], { ...OPTIONS, onMissing }),
    AppError,
    '"vpn.invalid"',
  );
});

Deno.test("lookUpServer() asks nobody while the host is closed, and leaves names out", async () => {
  const places = await lookUpServer([named("vpn.invalid"), at(7)], {
    ...OPTIONS,
    isToAsk: false,
    onMissing: ({ message }) => {
      throw new Error(message);
    },
  });
  assertEquals(places, [{ address: 7, port: 1, rank: 1 }]);
});

Deno.test("an endpoint at an IPv6 address without a route is left out, unless it is all there is", async () => {
  const options = {
    ...OPTIONS,
    hasRoute: (address: HostAddress) => !isIpv6(address),
    onMissing: () => {},
  };
  assertEquals(await lookUpServer([at("2001:db8::1"), at(7)], options), [
    { address: 7, port: 1, rank: 1 },
  ]);
});

Deno.test("placesOutside() refuses an endpoint that the tunnel would take away whole", () => {
  const outside = (addresses: readonly HostAddress[]) => {
    const left = addresses.filter((address) => address !== 7);
    if (left.length === 0) throw new Error("inside");
    return left;
  };
  const places = [
    { address: 7, port: 1, rank: 0 },
    { address: 8, port: 1, rank: 0 },
    { address: 9, port: 1, rank: 1 },
  ];
  assertEquals(placesOutside(places, outside), places.slice(1));
  const moved = places.map((place) => ({
    ...place,
    rank: place.rank + (place.address === 7 ? 2 : 0),
  }));
  assertThrows(() => placesOutside(moved, outside), Error, "inside");
});

hostTest("lookUpServerAgain() has an endpoint that is not found where it was", async () => {
  const last = [
    { address: 5, port: 1, rank: 0 },
    { address: 6, port: 1, rank: 0 },
    { address: 9, port: 1, rank: 1 },
  ];
  const places = await lookUpServerAgain([named("vpn.invalid"), at(7), named("vpn2.invalid")], {
    last,
    // No resolver listens there.
    nameServers: ["127.255.255.254"],
    mark: 0,
    timeout: 100,
    hasRoute: () => true,
    whileAsking: (_, call) => call(),
  });
  assertEquals(places, [...last.slice(0, 2), { address: 7, port: 1, rank: 1 }]);
});
