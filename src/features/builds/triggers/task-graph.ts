/** A tag of a repository, wherever it is; equal texts are equal images. */
export type ImageKey = string;

/** What a task makes, and what that stands on. */
export type GraphTask = {
  readonly uid: string;
  readonly outputs: readonly ImageKey[];
  readonly bases: readonly ImageKey[];
};

export function imageKey(image: {
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
}): ImageKey {
  return `${image.host}/${image.repository}:${image.tag}`;
}

/** Which images stand on which, by the tasks that make them. */
export class TaskGraph {
  readonly #tasks: ReadonlyMap<string, GraphTask>;
  readonly #makers: ReadonlyMap<ImageKey, readonly string[]>;

  constructor(tasks: readonly GraphTask[]) {
    this.#tasks = new Map(tasks.map((task) => [task.uid, task]));
    this.#makers = Map.groupBy(
      tasks.flatMap(({ uid, outputs }) => outputs.map((key) => ({ uid, key }))),
      ({ key }) => key,
    )
      .entries()
      .reduce(
        (all, [key, list]) =>
          all.set(
            key,
            list.map(({ uid }) => uid),
          ),
        new Map<ImageKey, string[]>(),
      );
  }

  /** Tasks that make what a task stands on, itself left out. */
  below(uid: string): readonly string[] {
    const bases = this.#tasks.get(uid)?.bases ?? [];
    return [...new Set(bases.flatMap((key) => this.#makers.get(key) ?? []))].filter((each) => each !== uid);
  }

  /** Tasks that stand on what a task makes, itself left out. */
  above(uid: string): readonly string[] {
    const outputs = new Set(this.#tasks.get(uid)?.outputs ?? []);
    return [...this.#tasks.values()]
      .filter((each) => each.uid !== uid && each.bases.some((key) => outputs.has(key)))
      .map((each) => each.uid);
  }

  /**
   * Whether an image is made by a task itself, or by one that stands on what it makes: started by the image, it would start
   * itself for ever.
   */
  isMadeAbove(uid: string, image: ImageKey): boolean {
    const makers = this.#makers.get(image) ?? [];
    return makers.length > 0 && this.#withAbove([uid]).some((each) => makers.includes(each));
  }

  /** A task and all that stands on it, each behind those that it waits for. Rings are cut where they close. */
  rebuildOrder(uids: readonly string[]): readonly { readonly uid: string; readonly waitsFor: readonly string[] }[] {
    const wanted = new Set(this.#withAbove(uids));
    const placed = new Map<string, readonly string[]>();
    while (placed.size < wanted.size) {
      const open = [...wanted].filter((uid) => !placed.has(uid));
      const ready = open.filter((uid) => this.below(uid).every((each) => !wanted.has(each) || placed.has(each)));
      // Nothing is ready in a ring: its first task goes ahead.
      for (const uid of ready.length > 0 ? ready : open.slice(0, 1))
        placed.set(
          uid,
          this.below(uid).filter((each) => placed.has(each)),
        );
    }
    return [...placed].map(([uid, waitsFor]) => ({ uid, waitsFor }));
  }

  #withAbove(uids: readonly string[]): string[] {
    const found = new Set(uids);
    for (const uid of found) for (const each of this.above(uid)) found.add(each);
    return [...found];
  }
}
