/** Tests of lib/host/fleet/certificates.ts, by another reader of certificates. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { newAuthority } from "../../../../lib/host/fleet/certificates.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const NOW = Date.UTC(2026, 5, 1);

Deno.test("an authority signs for a name or an address, which alone it is good for", async () => {
  const authority = await newAuthority(NOW);
  const ca = new X509Certificate(authority.certificate);
  assert(ca.ca && ca.verify(ca.publicKey));
  for (
    const [host, alternative] of [
      ["nats-a.example.org", "DNS:nats-a.example.org"],
      ["192.0.2.7", "IP Address:192.0.2.7"],
      ["2001:db8::1", "IP Address:2001:db8::1"],
    ] as const
  ) {
    const { certificate, privateKey } = await authority.certify(host);
    const own = new X509Certificate(certificate);
    assertEquals(own.subjectAltName?.toUpperCase(), alternative.toUpperCase());
    assert(!own.ca && own.verify(ca.publicKey) && own.checkIssued(ca));
    assert(own.checkPrivateKey(createPrivateKey(privateKey)));
    assertEquals(own.issuer, ca.subject);
    assert(
      Date.parse(own.validFrom) < NOW && Date.parse(own.validTo) > NOW + 19 * 365 * 86_400_000,
    );
    assert(!own.verify(new X509Certificate((await newAuthority(NOW)).certificate).publicKey));
  }
});

Deno.test("serial numbers are other ones each time, positive, and of 16 bytes", async () => {
  const authority = await newAuthority(NOW);
  const serials = await Promise.all(
    ["a", "b", "c"].map(async (host) =>
      new X509Certificate((await authority.certify(host)).certificate).serialNumber
    ),
  );
  assertEquals(new Set(serials).size, 3);
  for (const serial of serials) assert(/^[4-7][0-9A-F]{31}$/i.test(serial), serial);
});
