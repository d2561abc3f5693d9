/** What our programs are made of: Node, and sources that stand for all of ours. */
export const ownFiles: readonly string[] = [process.execPath, import.meta.filename];

const dropScript = `
user=$1 count=$2
shift 2
as="--reuid $user --regid $user --clear-groups"
while [ "$count" -gt 0 ]; do
  setpriv $as --no-new-privs -- test -r "$1" || as=--clear-groups
  shift
  count=$((count - 1))
done
exec setpriv $as --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all --pdeathsig KILL -- "$@"
`;

/**
 * Words before those of a program of ours that reads what strangers wrote: without any right of root's and without a network, it ends
 * with us. It is this user of the machine and reads what everybody may read; where that is not what it is made of, it stays who we are.
 */
export function withoutRights(userId: number, files = ownFiles): readonly string[] {
  return [
    ...['unshare', '--net', '--ipc', '--'],
    ...['sh', '-ec', dropScript, 'sh', String(userId), String(files.length), ...files],
  ];
}
