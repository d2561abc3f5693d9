export type PrivateMount = { readonly from: string; readonly over: string };

/**
 * The command line that runs a program in a mount namespace of its own, where each `from` lies over a file or folder of
 * the machine, which itself stays as it is: the program sees another /etc/hosts, say, and nobody else does. Needs root.
 */
export function withPrivateMounts(
  mounts: readonly PrivateMount[],
  command: string,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  const script = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"';
  const pairs = mounts.flatMap((mount) => [mount.from, mount.over]);
  return {
    command: 'unshare',
    args: ['--mount', '--propagation', 'private', '--', 'sh', '-ec', script, 'sh', ...pairs, '--', command, ...args],
  };
}
