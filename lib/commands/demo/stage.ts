/** Stage of the demo of a gateway and its clients: namespaces, configurations, and a watch on the gateway's link. */
import { openLibc } from "../../../ffi/libc.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";
import { DemoStage, type DemoStageOptions } from "./demo_stage.ts";
import { createConfigurations } from "./identities.ts";
import { LinkWatch, summary } from "./link_watch.ts";
import type { DemoProcess } from "./processes.ts";
import {
  GATEWAY_ADDRESS,
  HOST_NAMES,
  type HostName,
  type MemberName,
  Topology,
} from "./topology.ts";

export class Stage extends DemoStage<Exclude<HostName, "hotel">, MemberName> {
  override readonly site: Topology;
  /** Sees what the gateway sends to the internet, from the start. */
  readonly watch: LinkWatch;

  private constructor(resources: DisposableStack, options: DemoStageOptions) {
    super(resources, options);
    this.site = resources.use(new Topology());
    for (const [host, text] of Object.entries(createConfigurations(this.site.hasIpv6))) {
      this.write(`${host}.conf`, text);
    }
    this.watch = resources.use(openWatch(this.site));
    for (const name of HOST_NAMES) {
      // Nobody does anything there.
      if (name === "hotel") continue;
      this.openAgent(resources, name, this.site.host(name));
    }
  }

  /** @throws {SystemCallError | NetlinkError} EPERM without the privileges; nothing is left then */
  static open(options: DemoStageOptions): Stage {
    return DemoStage.opened((resources) => new Stage(resources, options));
  }

  /** Starts a host's process: the gateway's is a server, the others' are clients. */
  start(name: MemberName): DemoProcess {
    return this.startTunnel(name, {
      command: name === "gateway" ? "server" : "client",
      host: this.site.host(name),
      stateDirectory: this.folder,
    });
  }

  /** What a host's process is configured by. */
  configurationOf(name: MemberName): string {
    return Deno.readTextFileSync(`${this.folder}/${name}.conf`);
  }

  /** Gives a host's process another configuration, which it follows. */
  reconfigure(name: MemberName, text: string): void {
    Deno.writeTextFileSync(`${this.folder}/${name}.conf`, text);
    this.process(name)?.hangUp();
  }

  /** What the gateway has sent to the internet. */
  override offences(): string[] {
    const { offences } = this.watch.look();
    return offences.length === 0 ? [] : [summary(offences)];
  }
}

function openWatch(topology: Topology): LinkWatch {
  const internet = topology.host("internet");
  const { index } = internet.netlink.links.get("gateway");
  const options = { link: index, address: parseIpv4(GATEWAY_ADDRESS)! };
  return internet.inside(() => new LinkWatch(openLibc(), options));
}
