/** Data-plane error: a thread's own words for a failure, with the error number where a system call failed. */
export class DataPlaneError extends Error {
  override readonly name = "DataPlaneError";
  /** 0 when no system call failed. */
  readonly errno: number;

  constructor({ message, errno }: { readonly message: string; readonly errno: number }) {
    super(message);
    this.errno = errno;
  }
}
