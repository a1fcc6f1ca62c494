/** Tests of `ffi/netlink/monitor.ts` with a kernel that follows a script. */
import { EAGAIN, ENOBUFS } from "../../../../ffi/errno.ts";
import { RouteMonitor } from "../../../../ffi/netlink/monitor.ts";
import { assertEquals } from "../../../support/assert.ts";
import { message, type Reply, ScriptedKernel } from "../../../support/packets/scripted_kernel.ts";

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;

/** A blackhole route for 10.0.0.0/8 in table 254. */
const BLACKHOLE = "02080000 fe030006 00000000 08000100 0a000000";
const route = (type: number) => message(type, BLACKHOLE);

Deno.test("open() subscribes to links, addresses, routes and rules of both families", () => {
  const kernel = new ScriptedKernel();
  RouteMonitor.open(kernel.libc());
  const joined = kernel.options.filter((option) =>
    option.startsWith(`${SOL_NETLINK}/${NETLINK_ADD_MEMBERSHIP}=`)
  );
  assertEquals(joined.map((option) => Number(option.split("=")[1])), [1, 5, 7, 8, 9, 11, 19]);
});

Deno.test("read() returns events in order until nothing is there", () => {
  const kernel = new ScriptedKernel(route(24), route(25), EAGAIN, EAGAIN);
  const monitor = RouteMonitor.open(kernel.libc());
  const events = monitor.read();
  assertEquals(
    events.map((event) => event.kind === "route" && [event.removed, event.route.type]),
    [[false, 6], [true, 6]],
  );
  assertEquals(monitor.read(), []);
});

Deno.test("read() puts an overrun where the kernel lost notifications, and goes on", () => {
  const tooLarge: Reply = () => new Uint8Array(70000);
  const kernel = new ScriptedKernel(route(24), ENOBUFS, route(25), tooLarge, EAGAIN);
  const kinds = RouteMonitor.open(kernel.libc()).read().map((event) => event.kind);
  assertEquals(kinds, ["route", "overrun", "route", "overrun"]);
});

Deno.test("read() passes over notifications of other kinds", () => {
  const kernel = new ScriptedKernel(message(28, BLACKHOLE), EAGAIN);
  assertEquals(RouteMonitor.open(kernel.libc()).read(), []);
});
