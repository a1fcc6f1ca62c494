/**
 * Libc: the table of functions that the program calls, each beside its C prototype.
 *
 * Nothing is opened on import: `openLibc()` does the `dlopen`, once for each thread.
 *
 * `size_t` and pointer-sized integers are avoided where a packet passes: Deno's FFI takes 20 ns for a call
 * with `pointer` and `i32` arguments and 200-310 ns once a `usize` is given as a number. So packets move by
 * `readv`/`writev`/`recvmmsg`/`sendmmsg`, whose counts are `int`, and their `ssize_t` results are read as `i32`
 * (no single transfer here comes near 2 GiB).
 */

const SYMBOLS = {
  /** `pid_t waitpid(pid_t pid, int *status, int options)` */
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  /** `int close(int fd)` */
  close: { parameters: ["i32"], result: "i32" },
  /** `int open(const char *path, int flags)` */
  open: { parameters: ["buffer", "i32"], result: "i32" },
  /** `int openat(int dirfd, const char *path, int flags, mode_t mode)` */
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  /** `int mkdirat(int dirfd, const char *path, mode_t mode)` */
  mkdirat: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int renameat(int olddirfd, const char *oldpath, int newdirfd, const char *newpath)` */
  renameat: { parameters: ["i32", "buffer", "i32", "buffer"], result: "i32" },
  /** `int linkat(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, int flags)` */
  linkat: { parameters: ["i32", "buffer", "i32", "buffer", "i32"], result: "i32" },
  /** `int unlinkat(int dirfd, const char *path, int flags)` */
  unlinkat: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  /** `ssize_t readlinkat(int dirfd, const char *path, char *buffer, size_t size)` */
  readlinkat: { parameters: ["i32", "buffer", "buffer", "usize"], result: "i32" },
  /** `int fchown(int fd, uid_t owner, gid_t group)` */
  fchown: { parameters: ["i32", "u32", "u32"], result: "i32" },
  /** `int fchmod(int fd, mode_t mode)` */
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  /** `int ftruncate(int fd, off_t length)` */
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  /** `int fsync(int fd)` */
  fsync: { parameters: ["i32"], result: "i32" },
  /** `int flock(int fd, int operation)` */
  flock: { parameters: ["i32", "i32"], result: "i32" },
  /** `int ioctl(int fd, unsigned long request, void *argument)`; every request used here fits 32 bits */
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  /** `int ioctl(int fd, unsigned long request, unsigned long value)`, for requests whose argument is a number */
  ioctl_value: { name: "ioctl", parameters: ["i32", "u32", "pointer"], result: "i32" },
  /** `int fcntl(int fd, int command, int argument)` */
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** `ssize_t readv(int fd, const struct iovec *iov, int count)` */
  readv: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  /** `ssize_t writev(int fd, const struct iovec *iov, int count)` */
  writev: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  /** `ssize_t read(int fd, void *buffer, size_t count)`; not for packets */
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  /** `ssize_t write(int fd, const void *buffer, size_t count)`; not for packets */
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },

  /** `int madvise(void *address, size_t length, int advice)` */
  madvise: { parameters: ["pointer", "usize", "i32"], result: "i32" },

  /** `int socket(int domain, int type, int protocol)` */
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** `int socketpair(int domain, int type, int protocol, int pair[2])` */
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  /** `int bind(int fd, const struct sockaddr *address, socklen_t length)` */
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int connect(int fd, const struct sockaddr *address, socklen_t length)` */
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int getsockname(int fd, struct sockaddr *address, socklen_t *length)` */
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** `int setsockopt(int fd, int level, int option, const void *value, socklen_t length)` */
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  /** `int getsockopt(int fd, int level, int option, void *value, socklen_t *length)` */
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  /** `ssize_t send(int fd, const void *buffer, size_t length, int flags)`; not for packets */
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  /** `ssize_t recv(int fd, void *buffer, size_t length, int flags)`; not for packets */
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  /** `int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)` */
  recvmmsg: { parameters: ["i32", "pointer", "u32", "i32", "pointer"], result: "i32" },
  /** `int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)` */
  sendmmsg: { parameters: ["i32", "pointer", "u32", "i32"], result: "i32" },

  /** `int epoll_create1(int flags)` */
  epoll_create1: { parameters: ["i32"], result: "i32" },
  /** `int epoll_ctl(int epfd, int operation, int fd, struct epoll_event *event)` */
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  /** `int epoll_wait(int epfd, struct epoll_event *events, int count, int timeout_ms)` */
  epoll_wait: { parameters: ["i32", "pointer", "i32", "i32"], result: "i32" },
  epoll_wait_elsewhere: {
    name: "epoll_wait",
    parameters: ["i32", "pointer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  /** `int poll(struct pollfd *fds, nfds_t count, int timeout_ms)` */
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  /** `int eventfd(unsigned initial, int flags)` */
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  /** `int clock_gettime(clockid_t clock, struct timespec *time)` */
  clock_gettime: { parameters: ["i32", "pointer"], result: "i32" },

  /** `int unshare(int flags)` */
  unshare: { parameters: ["i32"], result: "i32" },
  /** `int setns(int fd, int type)` */
  setns: { parameters: ["i32", "i32"], result: "i32" },
  /** `int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)` */
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "pointer"], result: "i32" },
  /** `int umount2(const char *target, int flags)` */
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  /** `int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *result)` */
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  /** `int execv(const char *path, char *const argv[])`; returns only on failure */
  execv: { parameters: ["buffer", "buffer"], result: "i32" },

  /** `int capget(cap_user_header_t header, cap_user_data_t data)` */
  capget: { parameters: ["buffer", "buffer"], result: "i32" },
  /** `int capset(cap_user_header_t header, const cap_user_data_t data)` */
  capset: { parameters: ["buffer", "buffer"], result: "i32" },
  /** `int prctl(int operation, unsigned long arg2, arg3, arg4, arg5)`, for operations whose arguments are numbers */
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },

  /** `long syscall(long number, ...)`, as `int bpf(int command, union bpf_attr *attributes, unsigned size)` */
  bpf: { name: "syscall", parameters: ["i64", "i32", "buffer", "u32"], result: "i32" },

  /** `int *__errno_location(void)`: the address is fixed for the life of a thread */
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The open library. `symbols.NAME(...)` calls libc; `errno()` reads the number the last failed call left. */
export interface Libc {
  readonly symbols: Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;
  /** The calling thread's `errno`; meaningful only straight after a call that returned -1. */
  errno(): number;
}

let opened: Libc | undefined;

/**
 * Opens libc for this thread; later calls return the same object.
 *
 * @throws {Error} where no `libc.so.6` is found (a system without glibc) or `--allow-ffi` is missing.
 */
export function openLibc(): Libc {
  if (opened !== undefined) return opened;
  const library = Deno.dlopen("libc.so.6", SYMBOLS);
  const errnoLocation = library.symbols.__errno_location();
  if (errnoLocation === null) throw new Error("Cannot open libc: __errno_location() returned null");
  const errnoView = new Deno.UnsafePointerView(errnoLocation);
  opened = { symbols: library.symbols, errno: () => errnoView.getInt32() };
  return opened;
}

/** A NUL-terminated copy of `text`, for a `const char *` argument. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}
