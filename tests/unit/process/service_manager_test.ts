/** Tests what a service manager is told, by one that stands in for systemd: a datagram socket. */
import { openLibc } from "../../../ffi/libc.ts";
import { UnixDatagramReceiver } from "../../../ffi/sockets/unix_datagram.ts";
import { AppError, ExitCode } from "../../../lib/process/errors.ts";
import { ServiceManager, underManager } from "../../../lib/process/service_manager.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { eventually } from "../../support/time/patience.ts";
import { hostTest } from "../../support/permissions.ts";
import { uniqueName } from "../../support/net.ts";

/** What came since the last look. */
function received(receiver: UnixDatagramReceiver): string[] {
  const texts: string[] = [];
  for (let bytes = receiver.receive(); bytes !== null; bytes = receiver.receive()) {
    texts.push(new TextDecoder().decode(bytes));
  }
  return texts;
}

hostTest("the manager is told each turn of a tunnel's life in the words of sd_notify(3)", () => {
  const name = `@${uniqueName("manager")}`;
  using receiver = UnixDatagramReceiver.bind(openLibc(), name);
  const environment = new Map([["NOTIFY_SOCKET", name]]);
  {
    using manager = ServiceManager.of(environment);
    assertEquals([...environment], [], "hooks must not speak for us");
    manager.ready("connected to 192.0.2.1:51820 by UDP");
    manager.status("two\n lines");
    manager.reloading();
    manager.reloaded();
    manager.stopping();
  }
  const [ready, status, reloading, ...rest] = received(receiver);
  assertEquals(ready, "READY=1\nSTATUS=connected to 192.0.2.1:51820 by UDP");
  assertEquals(status, "STATUS=two; lines");
  const time = Number(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading!)?.[1]);
  // The clock of /proc/uptime goes on during sleep: it is that one, or less.
  const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  assert(time > 0 && time <= (uptime + 1) * 1e6, `${time} at ${uptime} s`);
  assertEquals(rest, ["READY=1", "STOPPING=1"]);
});

hostTest("the manager is told the error that ends a tunnel", async () => {
  const name = `@${uniqueName("manager")}`;
  using receiver = UnixDatagramReceiver.bind(openLibc(), name);
  Deno.env.set("NOTIFY_SOCKET", name);
  await assertRejects(
    () =>
      underManager(() => {
        throw new AppError("Cannot connect: no answer", { exitCode: ExitCode.connect });
      }),
    AppError,
  );
  assertEquals(received(receiver), ["STATUS=vpn: Cannot connect: no answer"]);
});

hostTest("a manager that is not there, or of a kind that is not spoken to, is no error", () => {
  for (const name of [`@${uniqueName("nobody")}`, "vsock:2:1234", "/nowhere/notify"]) {
    using manager = ServiceManager.of(new Map([["NOTIFY_SOCKET", name]]));
    manager.ready("up");
  }
  using manager = ServiceManager.of(new Map());
  manager.stopping();
});

hostTest("a watchdog is fed where this process is the one that is watched", async () => {
  const name = `@${uniqueName("manager")}`;
  using receiver = UnixDatagramReceiver.bind(openLibc(), name);
  const environment = (pid: number) =>
    new Map([["NOTIFY_SOCKET", name], ["WATCHDOG_USEC", "20000"], ["WATCHDOG_PID", `${pid}`]]);
  using _other = ServiceManager.of(environment(1));
  {
    using _manager = ServiceManager.of(environment(Deno.pid));
    assertMatch(await eventually(() => received(receiver)[0] ?? null), /^WATCHDOG=1$/);
  }
  received(receiver);
});
