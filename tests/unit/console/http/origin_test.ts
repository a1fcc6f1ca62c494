/** Tests by which name the console is reached, and from where it is asked. */
import { Origins } from "../../../../lib/console/http/origin.ts";
import { assertEquals } from "../../../support/assert.ts";

function origins(options: Partial<ConstructorParameters<typeof Origins>[0]> = {}): Origins {
  return new Origins({ publicOrigin: null, hasTls: false, trustedProxies: [], ...options });
}

function own(url: string, options?: Parameters<typeof origins>[0]): string | null {
  return origins(options).own(new Request(url));
}

Deno.test("without a name of its own, the console is reached by addresses and as localhost", () => {
  assertEquals(own("http://127.0.0.1:51821/x"), "http://127.0.0.1:51821");
  assertEquals(own("http://[::1]:51821/"), "http://[::1]:51821");
  assertEquals(own("http://localhost:51821/"), "http://localhost:51821");
  assertEquals(own("https://10.66.77.1/", { hasTls: true }), "https://10.66.77.1");
  for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a"]) {
    assertEquals(own(`http://${host}:51821/`), null, host);
  }
});

Deno.test("with a name, it is reached by that alone", () => {
  const publicOrigin = "https://vpn.example.com:8443";
  assertEquals(own("http://vpn.example.com:8443/", { publicOrigin }), publicOrigin);
  for (const host of ["127.0.0.1:8443", "vpn.example.com", "evil.example:8443"]) {
    assertEquals(own(`http://${host}/`, { publicOrigin }), null, host);
  }
});

/** The source of a request that a peer makes, with this X-Forwarded-For. */
function source(peer: string, forwarded: string | null, proxies: readonly string[] = []): string {
  const headers = forwarded === null ? {} : { "X-Forwarded-For": forwarded };
  return origins({ trustedProxies: proxies }).source(new Request("http://a/", { headers }), peer);
}

Deno.test("what X-Forwarded-For says counts from trusted proxies, and up to the first that is none", () => {
  const proxies = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"];
  assertEquals(source("198.51.100.1", "192.0.2.1"), "198.51.100.1");
  assertEquals(source("198.51.100.1", "192.0.2.1", proxies), "198.51.100.1");
  assertEquals(source("127.0.0.1", "192.0.2.1", proxies), "192.0.2.1");
  assertEquals(source("127.0.0.1", "made-up, 203.0.113.9, 192.0.2.1", proxies), "192.0.2.1");
  assertEquals(source("fd00::5", "203.0.113.9, 192.0.2.1, 10.1.2.3", proxies), "192.0.2.1");
  assertEquals(source("127.0.0.1", "2001:db8::7", proxies), "2001:db8::7");
  assertEquals(source("127.0.0.1", null, proxies), "127.0.0.1");
  assertEquals(source("127.0.0.1", "made-up", proxies), "127.0.0.1");
  // As a proxy writes them whose socket takes both families.
  assertEquals(source("::ffff:127.0.0.1", "::ffff:192.0.2.1", proxies), "192.0.2.1");
  assertEquals(source("127.0.0.1", "192.0.2.1, ::ffff:10.1.2.3", proxies), "192.0.2.1");
  assertEquals(source("127.0.0.1", "::FFFF:c000:0201", proxies), "192.0.2.1");
  assertEquals(source("::ffff:198.51.100.7", null, []), "198.51.100.7");
  // With the port that the connection came from, as some proxies write it.
  assertEquals(source("127.0.0.1", "203.0.113.9, 192.0.2.1:50123", proxies), "192.0.2.1");
  assertEquals(source("127.0.0.1", "[2001:db8::7]:50123, 10.1.2.3:8080", proxies), "2001:db8::7");
  assertEquals(source("127.0.0.1", "[2001:db8::7]", proxies), "2001:db8::7");
  assertEquals(source("127.0.0.1", "192.0.2.1:x", proxies), "127.0.0.1");
});
