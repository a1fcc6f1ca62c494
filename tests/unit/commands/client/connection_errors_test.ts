/** Tests of how a client ends that could not connect, or whose server is lost: the words and the exit code. */
import { noAnswer, serverLost } from "../../../../lib/commands/client/connection_errors.ts";
import type { ClientConfig } from "../../../../lib/core/config/config.ts";
import { ExitCode } from "../../../../lib/process/errors.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";

const PLACES = { server: "192.0.2.1:51820", servers: "192.0.2.1:51820" };

function configOf(transport: string, endpoints = 1): ClientConfig {
  return {
    interface: { transport, connectTimeout: 500, peerTimeout: 6_000 },
    endpoints: Array.from({ length: endpoints }, () => ({ port: 51_820 })),
  } as unknown as ClientConfig;
}

Deno.test("a client that could not connect says what was tried and for how long, and ends with 3", () => {
  const tried = { udp: "(UDP)", faketcp: "(fake TCP)", auto: "(UDP, then fake TCP)" };
  for (const [transport, names] of Object.entries(tried)) {
    const { message, exitCode } = noAnswer(configOf(transport), PLACES, "it sleeps");
    assertEquals(exitCode, ExitCode.connect);
    assertStringIncludes(
      message,
      `Cannot connect: no valid answer from 192.0.2.1:51820 ${names} within 0.5 s: it sleeps`,
    );
  }
});

Deno.test("a client whose server is lost says for how long it was silent, and ends with 4", () => {
  const { message, exitCode } = serverLost(configOf("udp"), PLACES);
  assertEquals(exitCode, ExitCode.peerLost);
  assertStringIncludes(message, "Connection lost: no packet from 192.0.2.1:51820 for 6 s, ");
});

Deno.test("of several endpoints, all are named, and the time that each was given", () => {
  const servers = "192.0.2.1:51820 and 192.0.2.2:51820";
  const config = configOf("udp", 2);
  assertStringIncludes(
    noAnswer(config, { servers }, "it sleeps").message,
    `no valid answer from ${servers} (UDP) within 0.5 s each: it sleeps`,
  );
  assertStringIncludes(
    serverLost(config, { ...PLACES, servers }).message,
    `Connection lost: none of ${servers} answers any more: `,
  );
});
