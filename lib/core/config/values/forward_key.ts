/** `Forward`: what is published outside, and who serves it: reads its value. */
import { CLOUD_SERVICES } from "../../wire/cloud_services.ts";
import { isMartian } from "../../wire/ipv4.ts";
import { formatIpv4, parseIpv4 } from "../../wire/ipv4_text.ts";
import type { ForwardBackEnd, ForwardCheck, PortForward } from "../config.ts";
import type { Entry } from "../text/config_document.ts";
import { badValue } from "../text/section.ts";
import { isUnicast } from "./addresses.ts";
import { integer, isPeerName, portOf, rejectValue } from "./values.ts";

/** Of one service. */
const MAX_FORWARD_BACK_ENDS = 64;

const RULE = "a forward is PROTOCOL:PORT -> ADDRESS:PORT, as in tcp:8080 -> 10.66.77.2:80 or " +
  "tcp:443 -> web-1:8443, web-2:8443 (least)";
const OPTION_RULE =
  "in parentheses stands hash or least, and check=PORT or check=off, as in (least, check=8080)";

/** One `Forward`, with its entry for messages. */
export interface ForwardItem {
  readonly forward: PortForward;
  readonly entry: Entry;
}

/** `tcp:8080 -> 10.66.77.2:80`, or `tcp:203.0.113.7:443 -> web-1:8443, web-2:8443 (least)`. */
export function parseForward(entry: Entry): readonly ForwardItem[] {
  const [, protocolText, addressText, portText, rest] =
    /^(tcp|udp)\s*:\s*(?:([\d.]+)\s*:\s*)?(\d+)\s*->\s*(.+)$/i.exec(entry.value) ??
      rejectValue(entry, RULE);
  const protocol = protocolText!.toLowerCase() === "tcp" ? "tcp" : "udp";
  const externalPort = portOf(entry, portText!);
  const externalAddress = addressText === undefined ? null : unicast(entry, addressText);
  // A peer's name may have parentheses, but a port is behind it.
  const [, list, optionsText = ""] = /^(.*:\s*\d+)\s*(?:\(([^()]*)\))?$/.exec(rest!) ??
    rejectValue(entry, RULE);
  const backEnds = itemsOf(list!).map((item) => parseBackEnd(entry, item));
  refuseTooMany(entry, backEnds);
  const options = parseOptions(entry, optionsText, protocol);
  return [{ forward: { protocol, externalAddress, externalPort, backEnds, ...options }, entry }];
}

/** Splits at commas, but for those in quotation marks. */
function itemsOf(value: string): string[] {
  return (value.match(/(?:"[^"]*"|[^",]|")+/g) ?? []).map((item) => item.trim());
}

function parseBackEnd(entry: Entry, item: string): ForwardBackEnd {
  const [, quotedName, plain, portText] = /^(?:"([^"]*)"|([^":]*?))\s*:\s*(\d+)$/.exec(item) ?? [];
  if (portText === undefined) throw badValue(entry, RULE, item);
  const port = portOf(entry, portText);
  const name = quotedName ?? plain!;
  if (quotedName === undefined && /^[\d.]+$/.test(name) && name.includes(".")) {
    const address = unicast(entry, name);
    // It would be published to everybody what tells a host its credentials, as no rule of clients can.
    if (isMartian(address) || CLOUD_SERVICES.some((each) => each.address === address)) {
      throw badValue(
        entry,
        "link-local addresses and a cloud's services for its hosts are not published",
        name,
      );
    }
    return { text: `${formatIpv4(address)}:${port}`, peer: null, address, port };
  }
  if (!isPeerName(name)) throw badValue(entry, "this is no peer's name, nor an address", item);
  return { text: `${name}:${port}`, peer: name, address: null, port };
}

function unicast(entry: Entry, text: string): number {
  const address = parseIpv4(text);
  if (address !== null && isUnicast(address)) return address;
  throw badValue(entry, "a host cannot have this address", text);
}

function refuseTooMany(entry: Entry, backEnds: readonly ForwardBackEnd[]): void {
  if (backEnds.length > MAX_FORWARD_BACK_ENDS) {
    const rule = `a service has at most ${MAX_FORWARD_BACK_ENDS} back ends: leave some out`;
    throw badValue(entry, rule, `${backEnds.length} back ends`);
  }
  const texts = new Set<string>();
  for (const { text } of backEnds) {
    if (texts.has(text)) throw badValue(entry, "it stands there twice: remove one", text);
    texts.add(text);
  }
}

function parseOptions(
  entry: Entry,
  text: string,
  protocol: PortForward["protocol"],
): Pick<PortForward, "method" | "check"> {
  let method: PortForward["method"] = "hash";
  // Of UDP, nothing can be told by a connection to the same port.
  let check: ForwardCheck = protocol === "tcp" ? "port" : "off";
  for (const word of text.split(/[\s,]+/).filter((each) => each !== "")) {
    const option = word.toLowerCase();
    if (option === "hash" || option === "least") method = option;
    else if (option === "check=off") check = "off";
    else if (option.startsWith("check=")) {
      check = integer(option.slice(6), 1, 65535) ?? reject(entry, word);
    } else reject(entry, word);
  }
  return { method, check };
}

function reject(entry: Entry, word: string): never {
  throw badValue(entry, OPTION_RULE, word);
}
