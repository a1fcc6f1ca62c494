/** Cloud services: where clouds tell a host about itself, its credentials included, by no link-local address. */
import { type Ipv4Prefix, parseCidr } from "./ipv4_text.ts";
import { type Ipv6Prefix, parseCidr6 } from "./ipv6_prefix.ts";

/**
 * With other services for their hosts: Alibaba Cloud's metadata service, Azure's host agent, Oracle Cloud's former
 * metadata service.
 */
export const CLOUD_SERVICES: readonly Ipv4Prefix[] = [
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
].map((text) => parseCidr(text)!);

/** The metadata services of Amazon, Google, Oracle and Scaleway. */
export const CLOUD_SERVICES6: readonly Ipv6Prefix[] = [
  "fd00:ec2::254",
  "fd20:ce::254",
  "fd00:c1::a9fe:a9fe",
  "fd00:42::42",
].map((text) => parseCidr6(text)!);
