export type NamedValue = { readonly name: string; readonly value: string };

/** Names that the builder or what it starts would heed itself. */
const heeded =
  /^(?:PATH|HOME|LANG\w*|TMPDIR|IFS|PS\d|ENV|CDPATH|OPT\w+|PPID|PWD|OLDPWD|UID|EUID|SHELL\w*|BASH\w*|TZ|USER|HOSTNAME|SOURCE_DATE_EPOCH|\w*_proxy|(?:LC|LD|XDG|GLIBC|MALLOC|SSL|GPG|GNUPG|KUBE|DBUS|NOTIFY|LISTEN|REGISTRY|REGISTRIES|STORAGE|BERTH|_)\w*|(?:CONTAINER|DOCKER|BUILDAH|RUNC|SYSTEMD)\w*|GO(?:DEBUG|GC|MEMLIMIT|MAXPROCS|TRACEBACK|COVERDIR))$/i;

/** Whether a value of this name is kept out of words. */
export function canHide(name: string): boolean {
  return /^[A-Za-z_]\w*$/.test(name) && !heeded.test(name);
}

/**
 * Keeps values out of the words of a program, which every user of the machine can list: the program has them as variables, and
 * its words only their names. They travel under names of ours, as programs outside the cell see them too. A name that programs
 * would heed stays a word with its value.
 */
export function hideValues(
  option: string,
  values: readonly NamedValue[],
): {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Begins the line of words. */
  readonly before: readonly string[];
} {
  // A builder takes a variable that is empty for one that is not there.
  const isHidden = ({ name, value }: NamedValue) => canHide(name) && value !== '';
  // The last of a name counts.
  const last = [...new Map(values.map((value) => [value.name, value])).values()];
  const hidden = last.filter(isHidden);
  const script = hidden.map(({ name }, at) => `export ${name}="$BERTH_${at}"; unset BERTH_${at}; `).join('');
  return {
    words: last.flatMap((each) => [option, isHidden(each) ? each.name : `${each.name}=${each.value}`]),
    env: Object.fromEntries(hidden.map(({ value }, at) => [`BERTH_${at}`, value])),
    before: hidden.length === 0 ? [] : ['sh', '-ec', `${script}exec "$@"`, 'sh'],
  };
}
