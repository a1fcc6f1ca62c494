/** Shows which next keys of peers a configuration cannot have. */
import { ConfigError } from "../../../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const [OWN, PEER, NEXT] = [sampleKeys(1), sampleKeys(2), sampleKeys(77)];

Deno.test("parseConfig() refuses a next key that is another's, and what is of use with one alone", () => {
  const peer = (...lines: readonly string[]) => () =>
    parseConfig(
      ["[Interface]", `PrivateKey = ${OWN.privateKey}`, "[Peer]", `PublicKey = ${PEER.publicKey}`]
        .concat(lines).join("\n"),
      "t.conf",
    );
  assertThrows(peer(`NextPublicKey = ${OWN.publicKey}`), ConfigError, "the key of [Interface]");
  assertThrows(peer(`NextPublicKey = ${PEER.publicKey}`), ConfigError, "on line 3");
  for (const line of ["KeyExpires = 2027-01-31", `NextPresharedKey = ${NEXT.privateKey}`]) {
    assertThrows(peer(line), ConfigError, "with NextPublicKey alone");
  }
  const next = `NextPublicKey = ${NEXT.publicKey}`;
  const twice = [next, "[Peer]", `PublicKey = ${sampleKeys(9).publicKey}`, next];
  assertThrows(peer(...twice), ConfigError, "on line");
});
