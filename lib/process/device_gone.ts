/** What is said when another program has taken the tunnel's device away, whichever of our threads sees it first. */
import { EBADFD, SystemCallError } from "../../ffi/errno.ts";

/** The device of the tunnel is not there any more: nothing can be put back, and the tunnel must end. */
export class DeviceGone extends SystemCallError {
  constructor(device: string) {
    super(`use the device "${device}"`, EBADFD);
    this.message =
      `The device "${device}" is gone: another program (\`ip link del\`, \`wg-quick down\`) has removed or renamed it, ` +
      "or moved it to another namespace: the tunnel ends";
  }
}
