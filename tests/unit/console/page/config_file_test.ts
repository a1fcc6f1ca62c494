/** Tests of a client's configuration as the console's page makes it a file. */
import { clientConfig, configFileName } from "../../../../lib/console/page/text/config_file.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import fc from "../../../support/property.ts";

Deno.test("the private key stands where the gateway has left room for it, whatever it is made of", () => {
  const text = "[Interface]\nPrivateKey = {PRIVATE_KEY}\nAddress = 10.0.0.2/32\n";
  assertEquals(
    clientConfig(text, "$&$1/+="),
    "[Interface]\nPrivateKey = $&$1/+=\nAddress = 10.0.0.2/32\n",
  );
});

Deno.test("a file has a name that wg-quick takes, whatever the device is called", () => {
  assertEquals(configFileName("Anna’s phone"), "anna-s-phone.conf");
  assertEquals(configFileName("../../etc/passwd"), "etc-passwd.conf");
  assertEquals(configFileName("日本"), "vpn.conf");
  fc.assert(fc.property(fc.string(), (name) => {
    assertMatch(configFileName(name), /^[a-z0-9_=+][a-z0-9_=+.-]{0,14}\.conf$/);
  }));
});
