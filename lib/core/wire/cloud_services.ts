/**
 * Where clouds tell a host about itself, its credentials included, by an address of IPv4 that is not link-local; with
 * other services for their hosts: Alibaba Cloud's metadata service, Azure's host agent, Oracle Cloud's former metadata
 * service.
 */
import { type Ipv4Prefix, parseCidr } from "./ipv4_text.ts";

export const CLOUD_SERVICES: readonly Ipv4Prefix[] = [
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
].map((text) => parseCidr(text)!);
