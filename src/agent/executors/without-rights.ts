/**
 * Words before those of a program that reads what strangers wrote: it is this user of the machine, without any right of root's
 * and without a network, and ends with us. It reads what everybody may read.
 */
export function withoutRights(userId: number): readonly string[] {
  return [
    ...['unshare', '--net', '--ipc', '--'],
    ...['setpriv', '--reuid', String(userId), '--regid', String(userId), '--clear-groups', '--no-new-privs'],
    ...['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--pdeathsig', 'KILL', '--'],
  ];
}
