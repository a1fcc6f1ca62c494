/** Checks of the host for any tunnel: privileges, devices, room for the journal, a cipher. */
import { Arena } from "../../../ffi/arena.ts";
import { Capability, hasCapability } from "../../../ffi/capabilities.ts";
import { openBoringssl } from "../../../ffi/crypto/boringssl.ts";
import { boringsslNames } from "../../../ffi/crypto/boringssl_library.ts";
import { openIpsecMb } from "../../../ffi/crypto/ipsec_mb.ts";
import { openLibcrypto } from "../../../ffi/crypto/libcrypto.ts";
import { createBuiltinAead } from "../../core/noise/aead_builtin.ts";
import { ownResolvConfs } from "../../host/dns/resolv_conf_file.ts";
import { AppError, errorMessage } from "../../process/errors.ts";
import { describeChange } from "../../host/journal/host_change.ts";
import { capabilityRemedy } from "../../process/privileges.ts";
import { requireJournalDirectory } from "../../process/journal_directory.ts";
import { staleJournals } from "../../host/journal/journal_files.ts";
import {
  currentNetworkNamespace,
  isGone,
  isSameNamespace,
} from "../../host/journal/network_namespace.ts";
import { isAlive, parseIdentity } from "../../process/process_identity.ts";
import { type Check, fail, hidden, ok, type Verdict, warn } from "./check.ts";
import type { Subject } from "./subject.ts";

const TUN_DEVICE = "/dev/net/tun";
/** Bytes; only to see whether the library opens. */
const ARENA_SIZE = 64 * 1024;

export const HOST_CHECKS: readonly Check[] = [
  { name: "capabilities", look: checkCapabilities },
  { name: "tun-device", look: checkTunDevice },
  { name: "journal", look: checkJournalDirectory },
  { name: "leftovers", look: checkLeftovers },
  { name: "interface", look: (subject) => checkInterface(subject) },
  { name: "cipher", look: checkCipher },
];

function checkCapabilities(subject: Subject): Verdict[] {
  const section = subject.server?.interface;
  const isNat = section !== undefined && section.egress === "raw";
  const missing = [
    ...hasCapability(Capability.netAdmin) ? [] : ["CAP_NET_ADMIN"],
    // A client does without: it takes no packets but those of its TUN and its own socket.
    ...!isNat || hasCapability(Capability.netRaw) ? [] : ["CAP_NET_RAW"],
  ];
  if (missing.length > 0) {
    return [fail(
      `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing`,
      capabilityRemedy(missing),
    )];
  }
  return [ok(
    Deno.uid() === 0
      ? "running as root"
      : `this user has CAP_NET_ADMIN${isNat ? ", CAP_NET_RAW" : ""}`,
  )];
}

function checkTunDevice(): Verdict[] {
  try {
    Deno.openSync(TUN_DEVICE, { read: true, write: true }).close();
    return [ok(`${TUN_DEVICE} opens`)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return [fail(
        `${TUN_DEVICE} does not exist`,
        "`modprobe tun`; in a container, start it with `--device /dev/net/tun`, or " +
          "`mkdir -p /dev/net && mknod /dev/net/tun c 10 200`",
      )];
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      return [fail(
        `this user may not open ${TUN_DEVICE}`,
        // Root is refused by a container's rules for devices alone.
        Deno.uid() === 0
          ? `give the container the device (\`--device ${TUN_DEVICE}\`)`
          : `run as root, or \`setfacl -m u:${Deno.uid()}:rw ${TUN_DEVICE}\``,
      )];
    }
    const reason = errorMessage(error);
    return [fail(
      `cannot open ${TUN_DEVICE}: ${reason}`,
      "`modprobe tun`; in a container, start it with `--device /dev/net/tun`",
    )];
  }
}

function checkJournalDirectory(): Verdict[] {
  try {
    requireJournalDirectory();
    return [
      ok(
        "the journal of changes to the host can be written, so that they are undone after a crash",
      ),
    ];
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [fail(
      error.message,
      "run as root, or set XDG_RUNTIME_DIR to a directory of this user",
    )];
  }
}

/** What `vpn cleanup`, or the next start, would undo. */
function checkLeftovers(subject: Subject): Verdict[] {
  const here = currentNetworkNamespace();
  const verdicts = staleJournals()
    .filter(({ owner }) => isSameNamespace(owner, here) || isGone(owner))
    .map(({ owner, changes }) => {
      const what = changes.map(describeChange).join(", ");
      return `a killed process (${owner.pid}, ${owner.interfaceName}) left behind: ` +
        (what === "" ? "its journal" : what);
    });
  for (const change of ownResolvConfs()) {
    if (isAlive(parseIdentity(change.owner))) continue;
    verdicts.push(`a killed process (${change.owner}) left behind: ${describeChange(change)}`);
  }
  if (verdicts.length === 0) return [ok("no killed process left changes behind")];
  return verdicts.map((why) => warn(why, subject.command("vpn cleanup")));
}

export function checkInterface(
  { instance, netlink, options: { interfaceName } }: Pick<
    Subject,
    "instance" | "netlink" | "options"
  >,
  uid: number | null = Deno.uid(),
): Verdict[] {
  const link = netlink.links.find(interfaceName);
  if (link === null) return [ok(`the interface name ${interfaceName} is free`)];
  if (instance?.isOurs) {
    return [ok(`${interfaceName} is up: ${instance.title} uses it`)];
  }
  // The descriptors of root's processes are root's to see: this may be a tunnel of ours that works.
  if (instance === null && uid !== 0) return [hidden(`the interface ${interfaceName} is there`)];
  const holder = instance === null
    ? `another interface (${link.kind ?? "of unknown kind"}) has this name`
    : `${instance.title} uses it`;
  return [fail(
    `the name ${interfaceName} is taken: ${holder}`,
    `choose another with \`--interface ${otherName(interfaceName)}\`` +
      (instance === null ? `, or \`ip link delete ${interfaceName}\`` : ", or stop that process"),
  )];
}

/** The next name of the same kind: `vpn1` after `vpn0`. */
function otherName(name: string): string {
  const [, stem, number] = /^(.*?)(\d*)$/.exec(name)!;
  return `${stem}${Number(number) + 1}`;
}

function checkCipher({ config }: Subject): Verdict[] {
  const wanted = config?.interface.aead ?? "auto";
  if (wanted === "builtin") return [ok("Aead = builtin: slower than libcrypto, as configured")];
  const arena = new Arena(ARENA_SIZE);
  const isAuto = wanted === "auto";
  const fields = createBuiltinAead(arena);
  const library = openLibcrypto(arena);
  const handshakes = library === null
    ? "; handshakes by what is inside the executable: `apt install libssl3` makes them quicker"
    : "";
  const ipsecMb = isAuto || wanted === "ipsec-mb" ? openIpsecMb(arena, fields) : null;
  if (ipsecMb !== null) return [ok(`${ipsecMb.name}: ChaCha20-Poly1305 by AVX-512${handshakes}`)];
  if (wanted === "ipsec-mb") {
    return [fail(
      "Aead = ipsec-mb, but there is no libIPSec_MB, or the processor has no AVX-512 with IFMA and VAES",
      "`apt install libipsec-mb1` (libipsec-mb2 on newer releases), or `Aead = auto`",
    )];
  }
  const processors = isAuto ? readProcessors() : "";
  const withIpsecMb = suitsIpsecMb(processors)
    ? "; with `apt install libipsec-mb1` (or libipsec-mb2) it would be quicker"
    : "";
  const boringssl = openBoringssl(arena, fields, boringsslNames(wanted));
  if (boringssl !== null) {
    return [ok(`${boringssl.name}: ChaCha20-Poly1305 in one pass${withIpsecMb}${handshakes}`)];
  }
  if (wanted === "boringssl") {
    return [fail(
      "Aead = boringssl, but neither the executable nor this host has a BoringSSL that works",
      "`apt install android-libboringssl` on Debian and its kin, or `Aead = auto`",
    )];
  }
  if (library !== null) {
    const withBoringssl = suitsBoringssl(processors)
      ? "; `Aead = boringssl` would be quicker, see vpn(8)"
      : "";
    return [ok(`${library.name}: ChaCha20-Poly1305${withIpsecMb || withBoringssl}`)];
  }
  const remedy = "`apt install libssl3`, or the package that has libcrypto.so.3 on this system";
  return wanted === "libcrypto"
    ? [
      fail(
        "Aead = libcrypto, but there is no libcrypto.so.3 or .so.1.1, or it refuses ChaCha20-Poly1305, as with FIPS",
        `${remedy}, or \`Aead = auto\``,
      ),
    ]
    : [warn(
      "no libcrypto.so.3 does ChaCha20-Poly1305 here (with FIPS, it refuses): encryption takes several times as long",
      remedy,
    )];
}

/**
 * What IPsec-MB's quickest implementation takes (`IMB_CPUFLAGS_AVX512_T2`), in the kernel's names. A virtual machine
 * may have some of them and not the others.
 */
const IPSEC_MB_FLAGS = ["avx512f", "avx512ifma", "vaes", "vpclmulqdq", "gfni", "sha_ni"];

/**
 * Whether IPsec-MB is worth installing.
 *
 * @param processors as in proc_cpuinfo(5)
 */
export function suitsIpsecMb(processors: string): boolean {
  const flags = flagsOf(processors);
  return IPSEC_MB_FLAGS.every((flag) => flags.includes(flag));
}

/** Whether BoringSSL is worth installing: with AVX2 it is known to be quicker than OpenSSL. */
export function suitsBoringssl(processors: string): boolean {
  return flagsOf(processors).includes("avx2");
}

function flagsOf(processors: string): string[] {
  return /^flags\s*:(.*)$/m.exec(processors)?.[1].split(" ") ?? [];
}

/** Empty where there is no proc(5). */
function readProcessors(): string {
  try {
    return Deno.readTextFileSync("/proc/cpuinfo");
  } catch {
    return "";
  }
}
